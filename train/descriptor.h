// File descriptors with an owner, none of which a program that is started inherits.
#pragma once

#include <string_view>

namespace earmark::train {

/// Closed with its owner; -1: none.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  void close();

 private:
  int release();
  int number_;
};

struct Pipe {
  Descriptor read;
  Descriptor write;
};
/// Throws Error where the system has no more.
Pipe make_pipe();

/// Writes all bytes, waiting where the descriptor does not take them at once. False, with errno, where it cannot.
bool write_all(int descriptor, std::string_view bytes);

}  // namespace earmark::train
