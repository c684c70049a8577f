// TCP connections with deadlines, and the messages that ranks send each other before they know one another.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/error.h"

namespace earmark {

/// The other side of a connection has gone.
class Disconnected : public Error {
 public:
  explicit Disconnected(const std::string& message) : Error({"", 0}, message) {}
};

using Deadline = std::chrono::steady_clock::time_point;

/// "1.5 s", "60 s"
std::string seconds_text(std::chrono::milliseconds time);

class Socket {
 public:
  Socket() = default;  ///< None.
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  Socket& operator=(Socket&& other) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  explicit operator bool() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  void close();

  /// The whole of `bytes`. Throws Disconnected, and Error where the other side does not take them until `deadline`.
  void send(std::string_view bytes, Deadline deadline) const;
  /// Exactly `count` bytes. Throws Disconnected, and Error where the other side has not sent them until `deadline`.
  std::string receive(std::size_t count, Deadline deadline) const;
  /// What is there, up to 64 KiB; empty where the other side has gone. To be called when there is something.
  std::string receive_some() const;

  /// Numeric, of this and the other end.
  std::string own_address() const;
  std::string peer_address() const;

 private:
  int descriptor_ = -1;
};

/// Where others can connect to `port` of this machine: on its loopback interface alone where `host` says so, else on
/// all. Throws Error that names both.
Socket listen_at(const std::string& host, int port);
/// Keeps trying until `deadline`, also where nobody knows the host yet. Throws Error with what the system said last.
Socket connect_to(const std::string& host, int port, Deadline deadline);
/// A connection that was made to `listener`; none where it has gone again.
Socket accept_at(const Socket& listener);
bool is_loopback(const std::string& address);

/// A message: a kind and two strings.
struct Message {
  std::uint8_t kind = 0;
  std::string key;
  std::string value;
};
std::string encoded(const Message& message);
/// Takes the first message off `bytes`; false where it is not complete yet. Throws Error where that is no message.
bool take_message(std::string& bytes, Message& message);
/// Throws Error as Socket::receive does.
Message receive_message(const Socket& socket, Deadline deadline);

}  // namespace earmark
