// Each function of each table offers its vertices in order of loss. A combination is one vertex per function; from it
// the next worse ones are reached by moving one function to its next vertex. To reach each combination once, a move is
// made only at the last function that has moved or behind it. One heap serves all tables.
#include "kernels/probe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/cpu/hadamard.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

/// The vertices of one function in ascending order of loss. Hardly any but the first few are ever asked for: those
/// whose magnitude comes near the largest are sorted first, the others only on demand.
class Vertices {
 public:
  struct Vertex {
    float loss;
    std::int32_t number;
    bool operator<(const Vertex& other) const { return loss != other.loss ? loss < other.loss : number < other.number; }
  };

  void reset(const float* x, std::int64_t coordinates) {
    values_.assign(x, x + coordinates);
    largest_ = 0;
    for (const float value : values_) {
      largest_ = std::max(largest_, std::abs(value));
    }
    vertices_.clear();
    // The other sign of a coordinate loses more than largest^2, which is more than any of these.
    const float near = kNear * largest_;
    for (std::int64_t j = 0; j < coordinates; ++j) {
      if (std::abs(x[j]) > near) {
        vertices_.push_back(vertex(static_cast<std::int32_t>(2 * j + (x[j] < 0 ? 1 : 0))));
      }
    }
    std::sort(vertices_.begin(), vertices_.end());
  }
  std::size_t size() const { return 2 * values_.size(); }
  const Vertex& operator[](std::size_t rank) {
    if (rank >= vertices_.size()) {
      sort_all();
    }
    return vertices_[rank];
  }

 private:
  static constexpr float kNear = 0.55F;
  Vertex vertex(std::int32_t number) const {
    const float value = values_[static_cast<std::size_t>(number / 2)];
    const float missing = largest_ - (number % 2 != 0 ? -value : value);
    return {missing * missing, number};
  }
  void sort_all() {
    vertices_.clear();
    for (std::int32_t number = 0; number < static_cast<std::int32_t>(size()); ++number) {
      vertices_.push_back(vertex(number));
    }
    std::sort(vertices_.begin(), vertices_.end());
  }

  std::vector<float> values_;
  std::vector<Vertex> vertices_;
  float largest_ = 0;
};

/// Small, because the heap moves them a lot.
struct Combination {
  float loss = 0;
  std::int32_t bucket = 0;
  std::uint16_t table = 0;
  std::uint8_t last_moved = 0;
  std::array<std::uint8_t, kMostFunctions> ranks{};
};

/// Later in the sequence: the order of a heap whose top is the best.
bool is_later(const Combination& a, const Combination& b) {
  if (a.loss != b.loss) {
    return a.loss > b.loss;
  }
  return a.table != b.table ? a.table > b.table : a.bucket > b.bucket;
}

class Prober {
 public:
  explicit Prober(const HashFamily& family)
      : family_(family),
        vertices_(static_cast<std::size_t>(family.tables * family.functions)),
        rotated_(static_cast<std::size_t>(family.padded_dimension())) {}

  void run(const float* query, std::int64_t d, std::int64_t probes, std::int32_t* tables, std::int32_t* buckets) {
    heap_.clear();
    std::int64_t written = 0;
    for (std::int32_t table = 0; table < family_.tables; ++table) {
      for (int function = 0; function < family_.functions; ++function) {
        rotate(query, d, family_, table, function, rotated_.data());
        at(table, function).reset(rotated_.data(), coordinates_of(family_, function));
      }
      Combination home;
      home.table = static_cast<std::uint16_t>(table);
      finish(home);
      tables[written] = table;
      buckets[written++] = home.bucket;
      push_successors(home);
    }
    for (; written < probes && !heap_.empty(); ++written) {
      std::pop_heap(heap_.begin(), heap_.end(), is_later);
      const Combination best = heap_.back();
      heap_.pop_back();
      tables[written] = best.table;
      buckets[written] = best.bucket;
      push_successors(best);
    }
    std::fill(tables + written, tables + probes, -1);
    std::fill(buckets + written, buckets + probes, -1);
  }

 private:
  Vertices& at(std::int32_t table, int function) {
    return vertices_[static_cast<std::size_t>(table * family_.functions + function)];
  }
  /// Loss and bucket of a combination from its ranks.
  void finish(Combination& c) {
    c.loss = 0;
    std::int64_t bucket = 0;
    for (int function = 0; function < family_.functions; ++function) {
      const Vertices::Vertex& vertex = at(c.table, function)[c.ranks[static_cast<std::size_t>(function)]];
      c.loss += vertex.loss;
      bucket = bucket * 2 * coordinates_of(family_, function) + vertex.number;
    }
    c.bucket = static_cast<std::int32_t>(bucket);
  }
  void push_successors(const Combination& from) {
    for (int function = from.last_moved; function < family_.functions; ++function) {
      Combination next = from;
      auto& rank = next.ranks[static_cast<std::size_t>(function)];
      if (rank + 1U >= std::min<std::size_t>(kMostRanks, at(from.table, function).size())) {
        continue;
      }
      ++rank;
      next.last_moved = static_cast<std::uint8_t>(function);
      finish(next);
      heap_.push_back(next);
      std::push_heap(heap_.begin(), heap_.end(), is_later);
    }
  }

  const HashFamily& family_;
  std::vector<Vertices> vertices_;
  std::vector<float> rotated_;
  std::vector<Combination> heap_;
};

}  // namespace

void probe_sequence(const ProbeSequence& args) {
  constexpr std::int64_t kQueriesPerTask = 4;
  const std::int64_t d = args.queries.dim(1);
  const std::int64_t probes = args.tables.dim(1);
  parallel_ranges(args.queries.dim(0), kQueriesPerTask, [&](std::int64_t begin, std::int64_t end) {
    Prober prober(*args.family);
    for (std::int64_t i = begin; i < end; ++i) {
      prober.run(args.queries.data<float>() + i * d, d, probes, args.tables.mutable_data<std::int32_t>() + i * probes,
                 args.buckets.mutable_data<std::int32_t>() + i * probes);
    }
  });
}

}  // namespace earmark::kernels::cpu
