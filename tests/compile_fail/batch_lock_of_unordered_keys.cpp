// expect: lockmap: batch_lock takes keys in sorted order[^\n]*pass a comparator
// Keys without an order need a comparator, and the compiler says so.
#include <lockmap/lockmap.hpp>
#include <vector>

struct Point {
  int x;
  int y;
  bool operator==(const Point&) const = default;
};
struct PointHash {
  std::size_t operator()(const Point& p) const { return static_cast<std::size_t>(p.x * 31 + p.y); }
};

int main() {
  lockmap::LockMap<Point, int, PointHash> map;
  const std::vector<Point> points{{1, 2}, {0, 3}};
#ifdef LOCKMAP_EXPECT_SUCCESS
  const auto by_coordinates = [](const Point& a, const Point& b) {
    return a.x != b.x ? a.x < b.x : a.y < b.y;
  };
  return static_cast<int>(map.batch_lock(points, by_coordinates).size()) - 2;
#else
  return static_cast<int>(map.batch_lock(points).size()) - 2;
#endif
}
