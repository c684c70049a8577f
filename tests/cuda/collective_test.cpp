#include "kernels/cuda/collective.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <mutex>

#include "tests/cuda/ranks.h"

namespace earmark::testing {
namespace {

using kernels::cuda::Combine;
using kernels::cuda::Communicator;

class GpuCollective : public GpuTest {};

/// Element i of rank r's tensor.
double element(int rank, std::int64_t i) { return (rank + 1) * ((i % 7) - 2); }

Tensor own(int rank, std::int64_t count, DType type, Device device) {
  const Tensor t({count}, DType::f64);
  for (std::int64_t i = 0; i < count; ++i) {
    t.mutable_data<double>()[i] = element(rank, i);
  }
  if (type == DType::i32 || type == DType::i64) {
    const Tensor whole({count}, type);
    for (std::int64_t i = 0; i < count; ++i) {
      type == DType::i32 ? void(whole.mutable_data<std::int32_t>()[i] = static_cast<std::int32_t>(element(rank, i)))
                         : void(whole.mutable_data<std::int64_t>()[i] = static_cast<std::int64_t>(element(rank, i)));
    }
    return whole.to(device);
  }
  return t.to(type).to(device);
}

double combined(Combine how, int size, std::int64_t i) {
  double value = element(0, i);
  for (int rank = 1; rank < size; ++rank) {
    const double next = element(rank, i);
    value = how == Combine::min ? std::min(value, next) : how == Combine::max ? std::max(value, next) : value + next;
  }
  return how == Combine::mean ? value / size : value;
}

double value_of(const Tensor& t, std::int64_t i) {
  switch (t.dtype()) {
    case DType::i32:
      return t.data<std::int32_t>()[i];
    case DType::i64:
      return static_cast<double>(t.data<std::int64_t>()[i]);
    default:
      return t.to(DType::f64).data<double>()[i];
  }
}

/// The sums are whole numbers of few bits: exact in every type, in whatever order they are made.
TEST_F(GpuCollective, ReducesOverAllRanks) {
  for (const DType type : {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i32, DType::i64}) {
    for (const Combine how : {Combine::sum, Combine::min, Combine::max}) {
      for (const std::int64_t count : {1, 17}) {
        SCOPED_TRACE(::testing::Message() << name_of(type) << " " << static_cast<int>(how) << " " << count);
        run_ranks(ranks_here(), [&](const Communicator& all, Device device) {
          const Tensor t = own(all.rank(), count, type, device);
          all.all_reduce({{t}}, how);
          const Tensor here = t.to(Device{});
          for (std::int64_t i = 0; i < count; ++i) {
            EXPECT_EQ(value_of(here, i), combined(how, all.size(), i));
          }
        });
      }
    }
  }
}

/// As a training step does with its gradients: many tensors of all sizes in one group.
TEST_F(GpuCollective, AveragesManyTensorsAtOnce) {
  run_ranks(ranks_here(), [](const Communicator& all, Device device) {
    std::vector<Tensor> tensors;
    for (const std::int64_t count : {1, 0, 33, 1000}) {
      tensors.push_back(own(all.rank(), count, DType::f32, device));
    }
    all.all_reduce(tensors, Combine::mean);
    for (const Tensor& t : tensors) {
      const Tensor here = t.to(Device{});
      for (std::int64_t i = 0; i < here.numel(); ++i) {
        EXPECT_FLOAT_EQ(here.data<float>()[i], static_cast<float>(combined(Combine::mean, all.size(), i)));
      }
    }
  });
}

TEST_F(GpuCollective, GathersScattersAndBroadcasts) {
  run_ranks(ranks_here(), [](const Communicator& all, Device device) {
    const Tensor part = Tensor::full({1, 5}, all.rank() + 1, DType::f32, device);
    const Tensor whole({all.size(), 5}, DType::f32, device);
    all.all_gather(part, whole);
    const Tensor gathered = whole.to(Device{});
    for (int rank = 0; rank < all.size(); ++rank) {
      EXPECT_EQ(gathered.slice(rank, rank + 1).slice(0, 1).data<float>()[4], rank + 1);
    }
    all.reduce_scatter(whole, part, Combine::sum);
    EXPECT_EQ(part.to(Device{}).data<float>()[4], all.size() * (all.rank() + 1));
    all.broadcast(part, all.size() - 1);
    EXPECT_EQ(part.to(Device{}).data<float>()[0], all.size() * all.size());
  });
}

TEST_F(GpuCollective, GivesTheSameBitsEveryTime) {
  const auto bits = [] {
    std::mutex mutex;
    std::vector<std::vector<float>> out(static_cast<std::size_t>(ranks_here()));
    run_ranks(ranks_here(), [&](const Communicator& all, Device device) {
      const Tensor t({999}, DType::f32);
      for (std::int64_t i = 0; i < t.numel(); ++i) {
        t.mutable_data<float>()[i] = 1.0F / static_cast<float>(all.rank() * 999 + i + 1);
      }
      const Tensor there = t.to(device);
      all.all_reduce({{there}}, Combine::sum);
      const Tensor here = there.to(Device{});
      const std::scoped_lock lock(mutex);
      out[static_cast<std::size_t>(all.rank())].assign(here.data<float>(), here.data<float>() + here.numel());
    });
    return out;
  };
  const auto first = bits();
  EXPECT_EQ(first, bits());
  EXPECT_EQ(first.front(), first.back()) << "all ranks have the same";
}

template <class F>
void expect_error(const char* sentence, F f) {
  try {
    f();
    FAIL() << "expected: " << sentence;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(sentence), std::string::npos) << e.what();
  }
}

TEST_F(GpuCollective, RefusesWhatCannotBeExchanged) {
  run_ranks(1, [](const Communicator& all, Device device) {
    const Tensor t = Tensor::full({4}, 1, DType::f32, device);
    expect_error("ranks exchange tensors on GPUs, got one on cpu",
                 [&] { all.all_reduce({{Tensor::zeros({4}, DType::f32)}}, Combine::sum); });
    expect_error("ranks exchange no elements of type i16",
                 [&] { all.broadcast(Tensor::full({4}, 1, DType::i16, device), 0); });
    expect_error("expected a rank from 0 to 0, got 1", [&] { all.broadcast(t, 1); });
    expect_error("expected 1 times a part's elements of its type, got (3) f32 for (4) f32",
                 [&] { all.all_gather(t, t.slice(0, 3)); });
    expect_error("got (4) f32 for (4) f64",
                 [&] { all.reduce_scatter(t, Tensor::full({4}, 1, DType::f64, device), Combine::sum); });
    all.check_ranks();
  });
}

/// A tensor moves between GPUs without the host.
TEST_F(GpuCollective, TensorsGoFromOneGpuToAnother) {
  const Device last{Backend::cuda, ranks_here() - 1};
  const Tensor first = Tensor::full({100}, 3, DType::f32, kGpu);
  const Tensor there = first.to(last);
  EXPECT_EQ(there.device(), last);
  EXPECT_EQ(there.slice(99, 100).item(), 3);
  first.copy_from(there);
  EXPECT_EQ(first.slice(0, 1).item(), 3);
}

}  // namespace
}  // namespace earmark::testing
