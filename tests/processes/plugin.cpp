// A library that a program is linked with, or opens.
#include "module.hpp"

extern "C" __attribute__((visibility("default"))) const lockmap::test::Module*
lockmap_test_module() {
  return &lockmap::test::this_module;
}
