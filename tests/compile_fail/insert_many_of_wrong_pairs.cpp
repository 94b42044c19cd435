// expect: no matching (member )?function for call to [^\n]*insert_many
// Pairs whose halves become no key and value are refused at the user's call.
#include <lockmap/lockmap.hpp>
#include <string>
#include <utility>
#include <vector>

int main() {
  lockmap::LockMap<std::string, int> map;
#ifdef LOCKMAP_EXPECT_SUCCESS
  const std::vector<std::pair<const char*, short>> ages{{"Ada", short{36}}};
#else
  const std::vector<std::pair<int, const char*>> ages{{36, "Ada"}};
#endif
  return static_cast<int>(map.insert_many(ages)) - 1;
}
