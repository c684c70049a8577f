#include "train/data_parallel.h"

#include <array>
#include <utility>

#include "kernels/error.h"
#include "kernels/trace.h"

namespace earmark::train {

namespace {

/// part (n, ...) -> all ranks' ones (size * n, ...), in the order of the ranks. What each rank's loss wants of a part
/// goes back to the rank that it came from, and is added up there as `how` says.
Variable gathered(const Variable& part, const std::shared_ptr<Communicator>& ranks, Combine how) {
  const Tensor& own = part.value();
  const Tensor whole(own.shape().with_leading(ranks->size() * own.dim(0)), own.dtype(), own.device());
  ranks->all_gather(own, whole);
  return record("all_gather", whole, {part},
                [ranks, how, shape = own.shape()](const Tensor& dwhole) -> std::vector<Tensor> {
                  const Tensor dpart(shape, dwhole.dtype(), dwhole.device());
                  ranks->reduce_scatter(dwhole, dpart, how);
                  return {dpart};
                });
}

}  // namespace

class DataParallel::Statistics final : public RankStatistics {
 public:
  explicit Statistics(std::shared_ptr<Communicator> ranks) : group_(std::move(ranks)) {}
  int ranks() const override { return group_->size(); }
  void gather(const Tensor& own, const Tensor& all) const override {
    group_->all_gather(own.reshape(Shape{own.numel()}), all.reshape(Shape{all.numel()}));
  }
  void average(const Tensor& a, const Tensor& b) const override { group_->all_reduce(std::array{a, b}, Combine::mean); }
  void add_up(const Tensor& a, const Tensor& b) const override {
    group_->all_reduce(std::array{a, b}, Combine::in_pairs);
  }

 private:
  std::shared_ptr<Communicator> group_;
};

DataParallel::DataParallel(std::shared_ptr<Communicator> ranks, const nn::Encoder& encoder, bool sync_batch_norm,
                           const ReductionGroups& groups)
    : ranks_(std::move(ranks)),
      how_(groups.on() ? Combine::in_pairs : Combine::mean),
      statistics_(sync_batch_norm ? std::make_unique<Statistics>(ranks_) : nullptr),
      buckets_(encoder.parameters(), ranks_->another(), GradientBuckets::kBucketBytes, how_) {
  check(encoder.device().backend == Backend::cpu, "training by several processes runs on the CPU, the encoder is on ",
        encoder.device());
  for (const nn::NamedParameter& parameter : encoder.parameters()) {
    ranks_->broadcast(parameter.variable.value(), 0);
  }
  for (const nn::NamedBuffer& buffer : encoder.buffers()) {
    ranks_->broadcast(buffer.tensor, 0);
  }
}

DataParallel::~DataParallel() = default;

NtXentResult DataParallel::loss(const Variable& embeddings, double temperature) const {
  const Variable keys = gathered(embeddings, ranks_, how_ == Combine::mean ? Combine::sum : how_);
  return nt_xent(embeddings, keys, ranks_->rank() * embeddings.shape()[0], temperature);
}

void DataParallel::finish_step(const NtXentResult& result) {
  const TraceRange range("ranks");
  ranks_->all_reduce(std::array{result.loss.value(), result.top1}, how_);
  buckets_.finish_step();
}

}  // namespace earmark::train
