# Each dependency is taken from the including project if it has it, else from the system, else
# fetched at the commit named here. FETCHCONTENT_SOURCE_DIR_{ABSL,GOOGLETEST,BENCHMARK} use a local
# source tree instead. Functions, so that the settings for a dependency stay with it.
include(FetchContent)

# What lockmap itself links is made global: a project that adds it by add_subdirectory links it too.
function(lockmap_find_threads)
  set(THREADS_PREFER_PTHREAD_FLAG ON)
  find_package(Threads REQUIRED GLOBAL)
endfunction()

function(lockmap_find_absl)
  if(TARGET absl::flat_hash_set)
    return()
  endif()
  # Abseil's inline types depend on the language version: build it with the one its users have.
  set(CMAKE_CXX_STANDARD 20)
  set(ABSL_PROPAGATE_CXX_STD ON)
  set(ABSL_USE_SYSTEM_INCLUDES ON)
  # An installed lockmap needs the Abseil it was configured with.
  set(ABSL_ENABLE_INSTALL ${LOCKMAP_INSTALL})
  # Its include(CTest) would make this an option of ours.
  set(BUILD_TESTING OFF)
  FetchContent_Declare(
    absl
    GIT_REPOSITORY https://github.com/abseil/abseil-cpp.git
    GIT_TAG 0cf0a5c9d12cc3783363ab20f11613e69fd04c9a # LTS 20250814.2
    SYSTEM
    FIND_PACKAGE_ARGS CONFIG GLOBAL)
  FetchContent_MakeAvailable(absl)
  if(absl_SOURCE_DIR)
    if(NOT LOCKMAP_INSTALL)
      # Only what is linked gets built. Installing needs all of it.
      set_property(DIRECTORY ${absl_SOURCE_DIR} PROPERTY EXCLUDE_FROM_ALL ON)
    endif()
    set(LOCKMAP_ABSL_SOURCE_DIR ${absl_SOURCE_DIR} PARENT_SCOPE)
  endif()
endfunction()

function(lockmap_find_googletest)
  if(TARGET GTest::gtest_main)
    return()
  endif()
  set(CMAKE_CXX_STANDARD 20)
  set(INSTALL_GTEST OFF)
  # The runtime library that everything else is built with.
  set(gtest_force_shared_crt ON)
  FetchContent_Declare(
    googletest
    GIT_REPOSITORY https://github.com/google/googletest.git
    GIT_TAG 52eb8108c5bdec04579160ae17225d66034bd723 # v1.17.0
    SYSTEM
    FIND_PACKAGE_ARGS NAMES GTest CONFIG)
  FetchContent_MakeAvailable(googletest)
endfunction()

function(lockmap_find_benchmark)
  if(TARGET benchmark::benchmark)
    return()
  endif()
  set(CMAKE_CXX_STANDARD 20)
  set(BENCHMARK_ENABLE_TESTING OFF)
  set(BENCHMARK_ENABLE_INSTALL OFF)
  FetchContent_Declare(
    benchmark
    GIT_REPOSITORY https://github.com/google/benchmark.git
    GIT_TAG eddb0241389718a23a42db6af5f0164b6e0139af # v1.9.4
    SYSTEM
    FIND_PACKAGE_ARGS CONFIG)
  FetchContent_MakeAvailable(benchmark)
endfunction()
