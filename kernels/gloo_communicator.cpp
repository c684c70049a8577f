#include "kernels/gloo_communicator.h"

#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/store.h>
#include <gloo/transport/tcp/device.h>

#include <algorithm>
#include <bit>
#include <csignal>
#include <cstring>
#include <functional>
#include <mutex>
#include <numeric>
#include <string_view>

#include "kernels/dispatch_type.h"
#include "kernels/error.h"
#include "kernels/rendezvous.h"

namespace earmark {

namespace {

constexpr std::int64_t kFewBytes = 16384;  // then a second message costs more than the bytes it saves
constexpr std::int64_t kAddedAtOnce = 512;
constexpr std::uint64_t kAbandoned = ~std::uint64_t{0};  // a slot that nobody sends to

/// Where Gloo's ranks leave their addresses.
class RendezvousStore final : public gloo::rendezvous::Store {
 public:
  explicit RendezvousStore(Rendezvous& rendezvous) : rendezvous_(rendezvous) {}
  void set(const std::string& key, const std::vector<char>& data) override {
    rendezvous_.set(key, {data.begin(), data.end()});
  }
  std::vector<char> get(const std::string& key) override {
    const std::string value = rendezvous_.get(key);
    return {value.begin(), value.end()};
  }
  void wait(const std::vector<std::string>& keys) override {
    for (const std::string& key : keys) {
      rendezvous_.get(key);
    }
  }
  void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& /*timeout*/) override { wait(keys); }

 private:
  Rendezvous& rendezvous_;
};

/// out = the sum or the mean of `parts`, in their order, in double.
template <class T>
void combine(std::span<const T* const> parts, std::int64_t count, Combine how, T* out) {
  const double divisor = how == Combine::mean ? static_cast<double>(parts.size()) : 1;
  double sums[kAddedAtOnce];
  for (std::int64_t begin = 0; begin < count; begin += kAddedAtOnce) {
    const std::int64_t n = std::min(kAddedAtOnce, count - begin);
    std::fill_n(sums, n, 0);
    for (const T* part : parts) {
      for (std::int64_t i = 0; i < n; ++i) {
        sums[i] += static_cast<double>(part[begin + i]);
      }
    }
    for (std::int64_t i = 0; i < n; ++i) {
      out[begin + i] = static_cast<T>(sums[i] / divisor);
    }
  }
}

/// out = the sum of `parts` in pairs; they are used up.
template <class T>
void combine_in_pairs(std::span<T* const> parts, std::int64_t count, T* out) {
  for (std::size_t step = 1; step < parts.size(); step *= 2) {
    for (std::size_t part = 0; part < parts.size(); part += 2 * step) {
      std::transform(parts[part], parts[part] + count, parts[part + step], parts[part], std::plus<T>());
    }
  }
  std::copy_n(parts.front(), count, out);
}

void combine_bytes(DType dtype, std::vector<std::vector<std::byte>> parts, Combine how, std::byte* out) {
  dispatch_float(dtype, [&]<class T>() {
    std::vector<T*> values;
    std::transform(parts.begin(), parts.end(), std::back_inserter(values),
                   [](std::vector<std::byte>& part) { return reinterpret_cast<T*>(part.data()); });
    const auto count = static_cast<std::int64_t>(parts.front().size() / sizeof(T));
    if (how == Combine::in_pairs) {
      return combine_in_pairs<T>(values, count, reinterpret_cast<T*>(out));
    }
    combine<T>(std::vector<const T*>(values.begin(), values.end()), count, how, reinterpret_cast<T*>(out));
  });
}

std::span<std::byte> bytes_in(const Tensor& t) {
  check(t.device().backend == Backend::cpu, "ranks exchange tensors in the host's memory, got one on ", t.device());
  return {t.raw(), t.bytes()};
}

void check_summable(const Tensor& t, DType dtype) {
  check((dtype == DType::f32 || dtype == DType::f64) && t.dtype() == dtype,
        "ranks add up tensors of f32 or of f64, got ", name_of(t.dtype()));
}

void check_combine(Combine how, int size) {
  check(how != Combine::in_pairs || std::has_single_bit(static_cast<unsigned>(size)),
        "sums in pairs are those of a power of two of ranks, there are ", size);
}

void check_part(const Tensor& part, const Tensor& whole, int size) {
  check(part.shape().rank() >= 1 && whole.shape() == part.shape().with_leading(size * part.dim(0)) &&
            part.dtype() == whole.dtype(),
        "of ", size, " ranks with ", name_of(part.dtype()), part.shape(), " each, the whole is not ",
        name_of(whole.dtype()), whole.shape());
}

}  // namespace

struct GlooCommunicator::Mesh {
  std::chrono::milliseconds timeout;
  std::shared_ptr<gloo::rendezvous::Context> context;
  std::atomic<std::uint64_t> channels{0};
  std::mutex failing;
  std::string failure;
  std::mutex abandoning;
  bool abandoned = false;                  // by this rank; guarded by `failing`
  std::unique_ptr<Rendezvous> rendezvous;  // rank 0's: tells who comes later that the group is complete

  int rank() const { return context->rank; }
  int size() const { return context->size; }

  /// Waits for one parcel that comes from `other`, or goes to it.
  void wait(gloo::transport::UnboundBuffer& buffer, bool receives, int other, Deadline deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const std::chrono::milliseconds time = std::max(left, std::chrono::milliseconds(1));
    try {
      receives ? buffer.waitRecv(nullptr, time) : buffer.waitSend(nullptr, time);
    } catch (const std::exception& error) {
      explain(other, std::chrono::steady_clock::now() >= deadline, error);
    }
  }

  /// Throws. What fails first is the cause of all that fails later, in whatever thread.
  [[noreturn]] void explain(int other, bool late, const std::exception& error) {
    const std::scoped_lock lock(failing);
    // A thread that has waited in vain closes the connection for all: what others see of that is the same cause.
    const bool closed_late = !abandoned && std::string_view(error.what()).find("timeout") != std::string_view::npos;
    if (failure.empty()) {
      failure = late || closed_late
                    ? str("rank ", other, " of ", size(), " did not answer rank ", rank(), " within ",
                          seconds_text(timeout), ": it hangs, or cannot be reached")
                    : str("rank ", other, " of ", size(), " has ended, or given up on another rank (seen by rank ",
                          rank(), ": ", error.what(), ")");
    }
    fail(failure);
  }

  // Gloo tells all that wait in this process about a timeout, and closes their connections: so one is made.
  void abandon() {
    const std::scoped_lock lock(abandoning);
    {
      const std::scoped_lock failing_lock(failing);
      abandoned = true;
    }
    std::byte nothing{};
    for (int other = 0; other < size(); ++other) {
      if (other != rank()) {
        try {
          const auto buffer = context->createUnboundBuffer(&nothing, 1);
          buffer->recv(other, kAbandoned, 0, 1);
          buffer->waitRecv(nullptr, std::chrono::milliseconds(1));
        } catch (const std::exception&) {  // as it should be
        }
      }
    }
  }
};

GlooCommunicator::GlooCommunicator(const Rank& rank, std::chrono::milliseconds timeout)
    : mesh_(std::make_shared<Mesh>()), channel_(mesh_->channels++) {
  std::signal(SIGPIPE, SIG_IGN);
  auto rendezvous = std::make_unique<Rendezvous>(rank, timeout);
  mesh_->timeout = timeout;
  try {
    gloo::transport::tcp::attr place(rendezvous->address().c_str());
    std::shared_ptr<gloo::transport::Device> device = gloo::transport::tcp::CreateDevice(place);
    mesh_->context = std::make_shared<gloo::rendezvous::Context>(rank.rank, rank.size);
    mesh_->context->setTimeout(timeout);
    RendezvousStore store(*rendezvous);
    mesh_->context->connectFullMesh(store, device);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    fail("rank ", rank.rank, " of ", rank.size, ", reached at ", rendezvous->address(),
         ", and the others could not connect: ", error.what());
  }
  barrier();  // from here on nobody needs rank 0's table
  if (rank.rank == 0) {
    mesh_->rendezvous = std::move(rendezvous);
  }
}

GlooCommunicator::GlooCommunicator(std::shared_ptr<Mesh> mesh) : mesh_(std::move(mesh)), channel_(mesh_->channels++) {}

GlooCommunicator::~GlooCommunicator() = default;

int GlooCommunicator::rank() const { return mesh_->rank(); }
int GlooCommunicator::size() const { return mesh_->size(); }
std::chrono::milliseconds GlooCommunicator::timeout() const { return mesh_->timeout; }
void GlooCommunicator::abandon() { mesh_->abandon(); }
std::shared_ptr<Communicator> GlooCommunicator::another() {
  return std::shared_ptr<Communicator>(new GlooCommunicator(mesh_));
}

void GlooCommunicator::exchange(std::span<const Parcel> sent, std::span<const Parcel> received) {
  const Deadline deadline = std::chrono::steady_clock::now() + mesh_->timeout;
  const std::uint64_t slot = channel_ << 40U | calls_++;
  using Buffer = std::unique_ptr<gloo::transport::UnboundBuffer>;
  std::vector<std::pair<Buffer, int>> coming;
  std::vector<std::pair<Buffer, int>> going;
  const auto begin = [&](const Parcel& parcel, bool receives) {
    if (parcel.bytes.empty()) {
      return;
    }
    auto& buffers = receives ? coming : going;
    buffers.emplace_back(mesh_->context->createUnboundBuffer(parcel.bytes.data(), parcel.bytes.size()), parcel.rank);
    gloo::transport::UnboundBuffer& buffer = *buffers.back().first;
    try {
      receives ? buffer.recv(parcel.rank, slot) : buffer.send(parcel.rank, slot);
    } catch (const std::exception& error) {
      mesh_->explain(parcel.rank, false, error);
    }
  };
  try {
    std::ranges::for_each(received, [&](const Parcel& parcel) { begin(parcel, true); });
    std::ranges::for_each(sent, [&](const Parcel& parcel) { begin(parcel, false); });
    std::ranges::for_each(coming, [&](const auto& part) { mesh_->wait(*part.first, true, part.second, deadline); });
    std::ranges::for_each(going, [&](const auto& part) { mesh_->wait(*part.first, false, part.second, deadline); });
  } catch (const Error&) {
    mesh_->abandon();
    throw;
  }
}

std::vector<std::vector<std::byte>> GlooCommunicator::collect(std::span<const Parcel> sent,
                                                              std::span<const std::byte> own) {
  std::vector<std::vector<std::byte>> parts(static_cast<std::size_t>(size()), std::vector<std::byte>(own.size()));
  std::vector<Parcel> received;
  for (int other = 0; other < size(); ++other) {
    std::vector<std::byte>& part = parts[static_cast<std::size_t>(other)];
    if (other == rank()) {
      std::ranges::copy(own, part.begin());
    } else {
      received.push_back({other, part});
    }
  }
  exchange(sent, received);
  return parts;
}

void GlooCommunicator::reduce(const Tensor& packed, Combine how) {
  const std::span<std::byte> all = bytes_in(packed);
  const std::int64_t count = packed.numel();
  const bool few = packed.bytes() <= kFewBytes;
  const auto share = [&](int of) {  // of the elements that rank `of` adds up
    const auto at = [&](std::int64_t r) {
      return static_cast<std::size_t>(count * r / size()) * size_of(packed.dtype());
    };
    return few ? all : all.subspan(at(of), at(of + 1) - at(of));
  };
  std::vector<Parcel> sent;
  for (int other = 0; other < size(); ++other) {
    if (other != rank()) {
      sent.push_back({other, share(other)});
    }
  }
  const std::span<std::byte> own = share(rank());
  combine_bytes(packed.dtype(), collect(sent, own), how, own.data());
  if (!few) {
    std::vector<Parcel> received = sent;
    std::ranges::for_each(sent, [&](Parcel& parcel) { parcel.bytes = own; });
    exchange(sent, received);
  }
}

void GlooCommunicator::all_reduce(std::span<const Tensor> tensors, Combine how) {
  check_combine(how, size());
  if (tensors.empty()) {
    return;
  }
  const DType dtype = tensors.front().dtype();
  std::ranges::for_each(tensors, [&](const Tensor& t) { check_summable(t, dtype); });
  if (tensors.size() == 1) {
    return reduce(tensors.front(), how);
  }
  const std::int64_t count = std::accumulate(tensors.begin(), tensors.end(), std::int64_t{0},
                                             [](std::int64_t sum, const Tensor& t) { return sum + t.numel(); });
  const Tensor packed({count}, dtype);
  std::byte* at = packed.raw();
  for (const Tensor& t : tensors) {
    at = std::ranges::copy(bytes_in(t), at).out;
  }
  reduce(packed, how);
  at = packed.raw();
  for (const Tensor& t : tensors) {
    std::copy_n(at, t.bytes(), t.raw());
    at += t.bytes();
  }
}

void GlooCommunicator::all_gather(const Tensor& part, const Tensor& whole) {
  check_part(part, whole, size());
  const std::span<std::byte> own = bytes_in(part);
  const std::span<std::byte> all = bytes_in(whole);
  std::vector<Parcel> sent;
  std::vector<Parcel> received;
  for (int other = 0; other < size(); ++other) {
    const std::span<std::byte> place = all.subspan(static_cast<std::size_t>(other) * own.size(), own.size());
    if (other == rank()) {
      std::ranges::copy(own, place.begin());
    } else {
      sent.push_back({other, own});
      received.push_back({other, place});
    }
  }
  exchange(sent, received);
}

void GlooCommunicator::reduce_scatter(const Tensor& whole, const Tensor& part, Combine how) {
  check_part(part, whole, size());
  check_summable(whole, part.dtype());
  check_combine(how, size());
  const std::span<std::byte> all = bytes_in(whole);
  const std::span<std::byte> own = bytes_in(part);
  const auto share = [&](int of) { return all.subspan(static_cast<std::size_t>(of) * own.size(), own.size()); };
  std::vector<Parcel> sent;
  for (int other = 0; other < size(); ++other) {
    if (other != rank()) {
      sent.push_back({other, share(other)});
    }
  }
  combine_bytes(part.dtype(), collect(sent, share(rank())), how, own.data());
}

void GlooCommunicator::broadcast(const Tensor& t, int root) {
  check(root >= 0 && root < size(), "rank ", root, " of ", size());
  const std::span<std::byte> bytes = bytes_in(t);
  if (rank() != root) {
    const Parcel parcel{root, bytes};
    return exchange({}, {&parcel, 1});
  }
  std::vector<Parcel> sent;
  for (int other = 0; other < size(); ++other) {
    if (other != root) {
      sent.push_back({other, bytes});
    }
  }
  exchange(sent, {});
}

void GlooCommunicator::barrier() {
  const Tensor nothing = Tensor::zeros({1});
  all_reduce({&nothing, 1}, Combine::sum);
}

}  // namespace earmark
