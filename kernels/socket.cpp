#include "kernels/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "kernels/error.h"

namespace earmark {

namespace {

constexpr std::string_view kMagic = "EMRK";
constexpr std::size_t kHeader = 13;  // magic, kind, lengths of key and value
constexpr std::uint32_t kLongestPart = 1 << 20;
constexpr int kWaitingConnections = 1024;

std::string error_text(int number) { return std::strerror(number); }

/// Milliseconds for poll(), rounded up; 0 once the deadline is over.
int left(Deadline deadline) {
  const auto time = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(time.count(), 0, 1 << 30));
}

/// False where the deadline comes first.
bool wait_for(int descriptor, short events, Deadline deadline) {
  while (true) {
    pollfd wanted{descriptor, events, 0};
    const int ready = ::poll(&wanted, 1, left(deadline));
    if (ready > 0) {
      return true;
    }
    if (ready == 0 && left(deadline) == 0) {
      return false;
    }
    check(ready >= 0 || errno == EINTR, "poll: ", error_text(errno));
  }
}

using Addresses = std::shared_ptr<addrinfo>;

/// The addresses, or why there are none.
std::pair<Addresses, std::string> look_up(const std::string& host, int port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  return code == 0 ? std::pair(Addresses(found, &::freeaddrinfo), std::string())
                   : std::pair(Addresses(), std::string(::gai_strerror(code)));
}

/// A server of names that does not answer would hold us up beyond any deadline: a thread of its own waits for it.
Addresses resolved(const std::string& host, int port, Deadline deadline, std::string& problem) {
  if (Addresses numeric = look_up(host, port, AI_NUMERICHOST).first) {
    return numeric;
  }
  std::promise<std::pair<Addresses, std::string>> promise;
  auto answer = promise.get_future();
  std::thread([host, port, promise = std::move(promise)]() mutable {
    promise.set_value(look_up(host, port, 0));
  }).detach();
  if (answer.wait_until(deadline) != std::future_status::ready) {
    problem = problem.empty() ? "nobody said in time which address that is" : problem;
    return nullptr;
  }
  auto [addresses, why_not] = answer.get();
  problem = addresses ? problem : why_not;
  return addresses;
}

void send_at_once(int descriptor) {
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/// One try; none, and why, where it fails. One that the deadline cuts off knows no better than those before it.
Socket try_connect(const addrinfo& address, Deadline deadline, std::string& problem) {
  Socket socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int failure = 0;
  if (!socket) {
    failure = errno;
  } else if (::connect(socket.descriptor(), address.ai_addr, address.ai_addrlen) != 0) {
    failure = errno;
    if (failure == EINPROGRESS) {
      socklen_t size = sizeof failure;
      if (!wait_for(socket.descriptor(), POLLOUT, deadline)) {
        problem = problem.empty() ? error_text(ETIMEDOUT) : problem;
        return {};
      }
      ::getsockopt(socket.descriptor(), SOL_SOCKET, SO_ERROR, &failure, &size);
    }
  }
  if (failure != 0) {
    problem = error_text(failure);
    return {};
  }
  send_at_once(socket.descriptor());
  return socket;
}

std::string numeric(const sockaddr_storage& address, socklen_t size) {
  std::array<char, NI_MAXHOST> text{};
  const int code = ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, text.data(), text.size(), nullptr,
                                 0, NI_NUMERICHOST);
  check(code == 0, "an address cannot be written: ", ::gai_strerror(code));
  const std::string whole = text.data();
  constexpr std::string_view kMapped = "::ffff:";  // an IPv4 address, seen through an IPv6 socket
  return whole.starts_with(kMapped) ? whole.substr(kMapped.size()) : whole;
}

void append_length(std::string& bytes, std::size_t length) {
  for (int shift = 0; shift < 32; shift += 8) {
    bytes.push_back(static_cast<char>(length >> shift & 0xffU));
  }
}

std::size_t length_at(std::string_view bytes, std::size_t at) {
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    length |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  check(length <= kLongestPart, "what was received is no message of a rank");
  return length;
}

struct Lengths {
  std::size_t key;
  std::size_t value;
};

Lengths lengths_of(std::string_view header) {
  check(header.starts_with(kMagic), "what was received is no message of a rank");
  return {length_at(header, kMagic.size() + 1), length_at(header, kMagic.size() + 5)};
}

}  // namespace

std::string seconds_text(std::chrono::milliseconds time) {
  std::string text = std::to_string(time.count() / 1000);
  if (time.count() % 1000 != 0) {
    std::string fraction = std::to_string(1000 + time.count() % 1000).substr(1);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    text += "." + fraction;
  }
  return text + " s";
}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

void Socket::close() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
  descriptor_ = -1;
}

void Socket::send(std::string_view bytes, Deadline deadline) const {
  while (!bytes.empty()) {
    check(wait_for(descriptor_, POLLOUT, deadline), "a message was not taken in time");
    const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      throw Disconnected("the connection was lost: " + error_text(errno));
    }
    bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
  }
}

std::string Socket::receive(std::size_t count, Deadline deadline) const {
  std::string bytes(count, '\0');
  std::size_t have = 0;
  while (have < count) {
    check(wait_for(descriptor_, POLLIN, deadline), "no answer in time");
    const ssize_t received = ::recv(descriptor_, bytes.data() + have, count - have, MSG_DONTWAIT);
    if (received == 0) {
      throw Disconnected("the connection was closed");
    }
    if (received < 0 && errno != EAGAIN && errno != EINTR) {
      throw Disconnected("the connection was lost: " + error_text(errno));
    }
    have += static_cast<std::size_t>(std::max<ssize_t>(received, 0));
  }
  return bytes;
}

std::string Socket::receive_some() const {
  std::string bytes(1 << 16, '\0');
  ssize_t received = -1;
  do {
    received = ::recv(descriptor_, bytes.data(), bytes.size(), 0);
  } while (received < 0 && errno == EINTR);
  bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(received, 0)));
  return bytes;
}

std::string Socket::own_address() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  check(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size) == 0, error_text(errno));
  return numeric(address, size);
}

std::string Socket::peer_address() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  check(::getpeername(descriptor_, reinterpret_cast<sockaddr*>(&address), &size) == 0, error_text(errno));
  return numeric(address, size);
}

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

Socket listen_at(const std::string& host, int port) {
  const bool here_only = host == "localhost" || host == "127.0.0.1";
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(static_cast<std::uint16_t>(port));
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = v4.sin_port;
  v6.sin6_addr = host == "::1" ? in6addr_loopback : in6addr_any;
  const auto open = [&](int family, const void* address, socklen_t size) {
    Socket socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    const int off = 0;
    const bool listens =
        socket && ::setsockopt(socket.descriptor(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (family == AF_INET || ::setsockopt(socket.descriptor(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) &&
        ::bind(socket.descriptor(), static_cast<const sockaddr*>(address), size) == 0 &&
        ::listen(socket.descriptor(), kWaitingConnections) == 0;
    return listens ? std::move(socket) : Socket();
  };
  Socket socket = here_only ? Socket() : open(AF_INET6, &v6, sizeof v6);
  if (!socket && host != "::1") {  // a machine without IPv6 has IPv4 alone
    v4.sin_addr.s_addr = htonl(here_only ? INADDR_LOOPBACK : INADDR_ANY);
    socket = open(AF_INET, &v4, sizeof v4);
  }
  check(static_cast<bool>(socket), "rank 0 cannot listen at ", host, ":", port, ": ", error_text(errno),
        errno == EADDRINUSE ? "; it needs another MASTER_PORT (launch: --master-port)" : "");
  return socket;
}

Socket connect_to(const std::string& host, int port, Deadline deadline) {
  std::string problem;
  while (true) {
    const Addresses addresses = resolved(host, port, deadline, problem);
    for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
      Socket socket = try_connect(*address, deadline, problem);
      if (socket) {
        return socket;
      }
    }
    check(left(deadline) > 0, problem);
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(left(deadline), 50)));
  }
}

Socket accept_at(const Socket& listener) {
  Socket socket(::accept4(listener.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
  if (socket) {
    send_at_once(socket.descriptor());
  }
  return socket;
}

std::string encoded(const Message& message) {
  std::string bytes(kMagic);
  bytes.push_back(static_cast<char>(message.kind));
  append_length(bytes, message.key.size());
  append_length(bytes, message.value.size());
  return bytes + message.key + message.value;
}

bool take_message(std::string& bytes, Message& message) {
  const std::size_t known = std::min(bytes.size(), kMagic.size());
  check(bytes.compare(0, known, kMagic, 0, known) == 0, "what was received is no message of a rank");
  if (bytes.size() < kHeader) {
    return false;
  }
  const Lengths lengths = lengths_of(bytes);
  if (bytes.size() < kHeader + lengths.key + lengths.value) {
    return false;
  }
  message = {static_cast<std::uint8_t>(bytes[kMagic.size()]), bytes.substr(kHeader, lengths.key),
             bytes.substr(kHeader + lengths.key, lengths.value)};
  bytes.erase(0, kHeader + lengths.key + lengths.value);
  return true;
}

Message receive_message(const Socket& socket, Deadline deadline) {
  std::string bytes = socket.receive(kHeader, deadline);
  const Lengths lengths = lengths_of(bytes);
  bytes += socket.receive(lengths.key + lengths.value, deadline);
  Message message;
  take_message(bytes, message);
  return message;
}

}  // namespace earmark
