// expect: no matching (member )?function for call to [^\n]*get
// A type that is no key and stands for none is refused at the user's call, not inside Abseil.
#include <lockmap/lockmap.hpp>
#include <string>

int main() {
  const lockmap::LockMap<std::string, int> map;
#ifdef LOCKMAP_EXPECT_SUCCESS
  return map.get("7").has_value() ? 1 : 0;
#else
  return map.get(7).has_value() ? 1 : 0;
#endif
}
