// What the file is.

#ifndef GUARD
#define GUARD

// A class.
//
//   int code = 1;
//   {
//     code = 2;
//   }
//
// - a list
//   that goes on
template <class T>
class Map : private Base {
 public:
  // Types.
  using typename Base::Entry;
  using typename Base::key_type;

  // Both.
  T* get() noexcept { return nullptr; }
  const T* get() const noexcept {
    // Not documentation.
    return nullptr;
  }

  void undocumented();

  // bool one(Q&& key)
  // bool two({key1, key2, ...}, Less less = {})
  //
  // One and two.
  using Base::one;
  using Base::two;

  // -- A section ------------------

  // size_type size() const; bool empty() const
  //
  // How many.
  using Base::empty;
  using Base::size;

  using Base::nothing;

  int aligned;  // trailing
  int more;     // trailing, aligned

 private:
  int hidden_;
};

#endif  // GUARD
