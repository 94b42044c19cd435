// Errors of the example programs that take a command line, and the frame of their main().
#pragma once

#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace example {

// Input that the program cannot use; what() is the line to show to the user.
struct InputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// "cannot read 'path': why", for the error number that a C function left behind.
inline InputError cannot_read(const std::string& path, int error_number) {
  return InputError("cannot read '" + path +
                    "': " + std::error_code(error_number, std::generic_category()).message());
}

// For a command line that lacks what the program cannot do without; returns the exit code.
inline int show_usage(const char* usage) {
  std::cerr << usage << "\n--help lists the options.\n";
  return 2;
}

// The body of a main(): shows errors as "program: what is wrong". Exit code 2 says that the input
// was wrong, 1 that the program failed.
template <class Run>
int run_program(std::string_view program, const Run& run) {
  try {
    const int exit_code = run();
    if (!std::cout.flush()) throw std::runtime_error("cannot write the output");
    return exit_code;
  } catch (const InputError& error) {
    std::cerr << program << ": " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << program << ": " << error.what() << '\n';
    return 1;
  }
}

}  // namespace example
