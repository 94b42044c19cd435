// expect: no matching (member )?function for call to [^\n]*entry
// A key that may be looked up but cannot become a key is refused where a key may be stored.
#include <lockmap/lockmap.hpp>
#include <string>
#include <string_view>

struct Name {
  explicit Name(std::string text) : text(std::move(text)) {}
  std::string text;
};
struct NameHash {
  using is_transparent = void;
  std::size_t operator()(const Name& name) const { return operator()(name.text); }
  std::size_t operator()(std::string_view text) const { return text.size(); }
};
struct NameEqual {
  using is_transparent = void;
  bool operator()(const Name& a, const Name& b) const { return a.text == b.text; }
  bool operator()(const Name& a, std::string_view b) const { return a.text == b; }
};

int main() {
  lockmap::LockMap<Name, int, NameHash, NameEqual> map;
  const std::string_view view = "x";
#ifdef LOCKMAP_EXPECT_SUCCESS
  return map.contains(view) ? 1 : 0;
#else
  return map.entry(view).has_value() ? 1 : 0;
#endif
}
