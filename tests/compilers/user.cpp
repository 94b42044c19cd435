#include <lockmap/lockmap.hpp>

int main() {
  lockmap::LockMap<int, int> map;
  map.insert(1, 2);
}
