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

/// The vertices of one function in ascending order of loss. Hardly any but the first few are ever asked for, so they
/// are selected one by one, and only among those whose magnitude comes near the largest; the others are sorted when
/// these do not suffice.
class Vertices {
 public:
  struct Vertex {
    float loss;
    std::int32_t number;
    bool operator<(const Vertex& other) const { return loss != other.loss ? loss < other.loss : number < other.number; }
  };

  /// Where the coordinates are to be written, before reset().
  float* storage(std::int64_t coordinates) {
    values_.resize(static_cast<std::size_t>(coordinates));
    return values_.data();
  }
  /// Of the first `coordinates` that were written.
  void reset(std::int64_t coordinates) {
    count_ = static_cast<std::int32_t>(coordinates);
    largest_ = largest_magnitude(values_.data(), coordinates);
    // The other sign of a coordinate loses more than largest^2, which is more than any of these.
    const float near = kNear * largest_;
    vertices_.resize(static_cast<std::size_t>(coordinates));
    std::size_t found = 0;
    for (std::int32_t j = 0; j < count_; ++j) {  // without branches, which nobody could foresee
      const float value = values_[static_cast<std::size_t>(j)];
      const float magnitude = std::abs(value);
      const float missing = largest_ - magnitude;
      vertices_[found] = {missing * missing, 2 * j + static_cast<int>(value < 0)};
      found += static_cast<std::size_t>(magnitude > near);
    }
    vertices_.resize(found);
    sorted_ = 0;
  }
  std::size_t size() const { return 2 * static_cast<std::size_t>(count_); }
  Vertex operator[](std::size_t rank) {
    while (sorted_ <= rank) {
      select_next();
    }
    return vertices_[rank];
  }

 private:
  static constexpr float kNear = 0.55F;

  static float largest_magnitude(const float* x, std::int64_t n) {
    Vec<float> most{};
    for (std::int64_t j = 0; j < n; j += kLanes<float>) {
      const Vec<float> v = load_first(x + j, static_cast<int>(std::min<std::int64_t>(kLanes<float>, n - j)));
      const Vec<float> magnitude = v < 0 ? -v : v;
      most = magnitude > most ? magnitude : most;
    }
    float largest = 0;
    for (int lane = 0; lane < kLanes<float>; ++lane) {
      largest = std::max(largest, most[lane]);
    }
    return largest;
  }
  Vertex vertex(std::int32_t number) const {
    const float value = values_[static_cast<std::size_t>(number / 2)];
    const float missing = largest_ - (number % 2 != 0 ? -value : value);
    return {missing * missing, number};
  }
  void select_next() {
    if (sorted_ == vertices_.size()) {
      sort_all();
      return;
    }
    const auto next = vertices_.begin() + static_cast<std::ptrdiff_t>(sorted_++);
    std::iter_swap(next, std::min_element(next, vertices_.end()));
  }
  void sort_all() {
    vertices_.clear();
    for (std::int32_t number = 0; number < 2 * count_; ++number) {
      vertices_.push_back(vertex(number));
    }
    std::sort(vertices_.begin(), vertices_.end());
    sorted_ = vertices_.size();
  }

  std::vector<float> values_;
  std::vector<Vertex> vertices_;
  std::size_t sorted_ = 0;  // of vertices_
  std::int32_t count_ = 0;  // coordinates
  float largest_ = 0;
};

struct Combination {
  float loss = 0;
  std::int32_t bucket = 0;
  std::uint16_t table = 0;
  std::uint8_t last_moved = 0;
  std::array<std::uint8_t, kMostFunctions> ranks{};
};

/// The combinations that wait, best first. The heap moves what it compares, so that is kept small: a loss and a number.
class Queue {
 public:
  void clear() {
    all_.clear();
    heap_.clear();
  }
  bool empty() const { return heap_.empty(); }
  /// To be followed by make() before the first pop().
  void add(const Combination& c) {
    heap_.push_back({c.loss, static_cast<std::uint32_t>(all_.size())});
    all_.push_back(c);
  }
  void make() { std::make_heap(heap_.begin(), heap_.end(), later()); }
  void push(const Combination& c) {
    add(c);
    std::push_heap(heap_.begin(), heap_.end(), later());
  }
  Combination pop() {
    std::pop_heap(heap_.begin(), heap_.end(), later());
    const std::uint32_t number = heap_.back().number;
    heap_.pop_back();
    return all_[number];
  }

 private:
  struct Entry {
    float loss;
    std::uint32_t number;  // in all_
  };
  /// Later in the sequence: the order of a heap whose top is the best.
  struct Later {
    const std::vector<Combination>& all;
    bool operator()(const Entry& a, const Entry& b) const {
      return a.loss != b.loss ? a.loss > b.loss : behind(all[a.number], all[b.number]);
    }
  };
  static bool behind(const Combination& a, const Combination& b) {
    return a.table != b.table ? a.table > b.table : a.bucket > b.bucket;
  }
  Later later() const { return {all_}; }

  std::vector<Combination> all_;
  std::vector<Entry> heap_;
};

class Prober {
 public:
  explicit Prober(const HashFamily& family)
      : family_(family), vertices_(static_cast<std::size_t>(family.tables * family.functions)) {}

  void run(const float* query, std::int64_t d, std::int64_t probes, std::int32_t* tables, std::int32_t* buckets) {
    queue_.clear();
    std::int64_t written = 0;
    for (std::int32_t table = 0; table < family_.tables; ++table) {
      for (int function = 0; function < family_.functions; ++function) {
        Vertices& vertices = at(table, function);
        rotate(query, d, family_, table, function, vertices.storage(family_.padded_dimension()));
        vertices.reset(coordinates_of(family_, function));
      }
      Combination home;
      home.table = static_cast<std::uint16_t>(table);
      finish(home);
      tables[written] = table;
      buckets[written++] = home.bucket;
      for_each_successor(home, [&](const Combination& next) { queue_.add(next); });
    }
    queue_.make();
    for (; written < probes && !queue_.empty(); ++written) {
      const Combination best = queue_.pop();
      tables[written] = best.table;
      buckets[written] = best.bucket;
      for_each_successor(best, [&](const Combination& next) { queue_.push(next); });
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
      const Vertices::Vertex vertex = at(c.table, function)[c.ranks[static_cast<std::size_t>(function)]];
      c.loss += vertex.loss;
      bucket = bucket * 2 * coordinates_of(family_, function) + vertex.number;
    }
    c.bucket = static_cast<std::int32_t>(bucket);
  }
  template <class F>
  void for_each_successor(const Combination& from, const F& f) {
    for (int function = from.last_moved; function < family_.functions; ++function) {
      Combination next = from;
      auto& rank = next.ranks[static_cast<std::size_t>(function)];
      if (rank + 1U >= std::min<std::size_t>(kMostRanks, at(from.table, function).size())) {
        continue;
      }
      ++rank;
      next.last_moved = static_cast<std::uint8_t>(function);
      finish(next);
      f(next);
    }
  }

  const HashFamily& family_;
  std::vector<Vertices> vertices_;
  Queue queue_;
};

}  // namespace

void probe_sequence(const ProbeSequence& args) {
  constexpr std::int64_t kMostPerTask = 32;
  const std::int64_t d = args.queries.dim(1);
  const std::int64_t probes = args.tables.dim(1);
  const std::int64_t count = args.queries.dim(0);
  parallel_ranges(count, even_grain(count, kMostPerTask), [&](std::int64_t begin, std::int64_t end) {
    Prober prober(*args.family);
    for (std::int64_t i = begin; i < end; ++i) {
      prober.run(args.queries.data<float>() + i * d, d, probes, args.tables.mutable_data<std::int32_t>() + i * probes,
                 args.buckets.mutable_data<std::int32_t>() + i * probes);
    }
  });
}

}  // namespace earmark::kernels::cpu
