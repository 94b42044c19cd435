// IntrusiveList: a doubly linked list whose links are part of its elements.

#ifndef LOCKMAP_DETAIL_INTRUSIVE_LIST_HPP
#define LOCKMAP_DETAIL_INTRUSIVE_LIST_HPP

namespace lockmap::detail {

// A base class of what is in a list. A ring: no end is null, so linking has no special cases, and
// an element is unlinked without knowing its list.
struct ListLinks {
  ListLinks* next = nullptr;
  ListLinks* previous = nullptr;

  void link_before(ListLinks& position) noexcept {
    next = &position;
    previous = position.previous;
    previous->next = this;
    position.previous = this;
  }
  // NOLINTNEXTLINE(readability-make-member-function-const): it changes the list.
  void unlink() noexcept {
    next->previous = previous;
    previous->next = next;
  }
  // Takes the place of `other` in its list.
  void replace(const ListLinks& other) noexcept {
    next = other.next;
    previous = other.previous;
    next->previous = this;
    previous->next = this;
  }
};

// Owns nothing. Elements may be of any class derived from ListLinks; whoever walks names it.
class IntrusiveList {
 public:
  IntrusiveList() noexcept { clear(); }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  [[nodiscard]] bool empty() const noexcept { return ends_.next == &ends_; }
  [[nodiscard]] bool is_back(const ListLinks& element) const noexcept {
    return ends_.previous == &element;
  }
  void push_back(ListLinks& element) noexcept { element.link_before(ends_); }
  // NOLINTNEXTLINE(readability-make-member-function-const): it changes the list.
  void push_front(ListLinks& element) noexcept { element.link_before(*ends_.next); }

  // Null at the end.
  template <class T>
  [[nodiscard]] T* front() const noexcept {
    return as<T>(ends_.next);
  }
  template <class T>
  [[nodiscard]] T* after(const T& element) const noexcept {
    return as<T>(static_cast<const ListLinks&>(element).next);
  }

  // Appends all elements of the other list, which is empty then.
  void splice_back(IntrusiveList& other) noexcept {
    if (other.empty()) return;
    other.ends_.next->previous = ends_.previous;
    ends_.previous->next = other.ends_.next;
    other.ends_.previous->next = &ends_;
    ends_.previous = other.ends_.previous;
    other.clear();
  }

 private:
  void clear() noexcept { ends_.next = ends_.previous = &ends_; }

  template <class T>
  [[nodiscard]] T* as(ListLinks* links) const noexcept {
    return links == &ends_ ? nullptr : static_cast<T*>(links);
  }

  ListLinks ends_;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_INTRUSIVE_LIST_HPP
