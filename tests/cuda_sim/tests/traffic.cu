// Counting what kernels ask of memory: on accesses whose sectors and bank conflicts can be counted by hand.
#include "simulator.h"

namespace cudasim::testing {
namespace {

/// Reads every stride-th float.
__global__ void read_strided(const float* x, float* y, int stride) {
  const unsigned i = threadIdx.x;
  const float value = x[i * stride];  // strided read
  y[i] = value;                       // packed write
}

template <int columns>
__global__ void transpose(const float* x, float* y) {
  __shared__ float tile[32 * columns];
  const unsigned row = threadIdx.x / 32;
  const unsigned column = threadIdx.x % 32;
  tile[row * columns + column] = x[threadIdx.x];  // rows into shared memory
  __syncthreads();
  y[threadIdx.x] = tile[column * columns + row];  // columns out of it
}

__global__ void read_vectors(const float4* x, float* y) {
  const float4 value = x[threadIdx.x];
  y[threadIdx.x] = value.x + value.y + value.z + value.w;
}

__global__ void add_to_one(int* sum) { atomicAdd(sum, 1); }

__global__ void read_one(const float* x, float* y) { y[threadIdx.x] = x[0]; }

class Traffic : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!check_build()) {
      GTEST_SKIP() << "accesses are seen by the check build alone";
    }
    record_traffic(true);
  }
  void TearDown() override { record_traffic(false); }
};

const LineTraffic& at_line(const std::vector<LineTraffic>& all, const std::string& mark, Space space, bool write) {
  const std::string line = marked_line(__FILE__, mark);
  for (const LineTraffic& traffic : all) {
    if (traffic.line == line && traffic.space == space && traffic.write == write) {
      return traffic;
    }
  }
  ADD_FAILURE() << "no traffic at " << line << " of\n" << traffic_table("");
  static const LineTraffic kNone{.requests = 1, .least = 1};
  return kNone;
}

TEST_F(Traffic, SectorsOfStridedReads) {
  const DeviceArray<float> x(counted(64 * 16));
  const DeviceArray<float> y(64);
  for (const int stride : {1, 2, 3, 8, 16}) {
    record_traffic(true);
    launch(read_strided, {.threads = 64}, x.data(), y.data(), stride);
    const auto all = traffic_of("read_strided");
    ASSERT_EQ(all.size(), 2);
    const LineTraffic& read = at_line(all, "strided read", Space::global, false);
    EXPECT_EQ(read.kernel, "read_strided");
    EXPECT_EQ(read.width, 4);
    EXPECT_EQ(read.requests, 2);
    EXPECT_EQ(read.per_request(), std::min(32, 4 * stride));
    EXPECT_EQ(read.waste(), std::min(8, stride));
    const LineTraffic& write = at_line(all, "packed write", Space::global, true);
    EXPECT_EQ(write.per_request(), 4);
    EXPECT_EQ(write.waste(), 1);
  }
}

TEST_F(Traffic, SectorsOfAMisplacedRead) {
  const DeviceArray<float> x(counted(64));
  const DeviceArray<float> y(32);
  launch(read_strided, {.threads = 32}, x.data() + 1, y.data(), 1);
  EXPECT_EQ(at_line(traffic_of("read_strided"), "strided read", Space::global, false).per_request(), 5);
}

TEST_F(Traffic, BankConflictsOfATransposedTile) {
  const DeviceArray<float> x(counted(1024));
  const DeviceArray<float> y(1024);
  launch(transpose<32>, {.threads = 1024}, x.data(), y.data());
  launch(transpose<33>, {.threads = 1024}, x.data(), y.data());
  const auto all = traffic_of("transpose<32>");
  EXPECT_EQ(at_line(all, "rows into shared memory", Space::shared, true).per_request(), 1);
  EXPECT_EQ(at_line(all, "columns out of it", Space::shared, false).per_request(), 32);
  EXPECT_EQ(at_line(all, "columns out of it", Space::shared, false).requests, 32);
  EXPECT_EQ(at_line(traffic_of("transpose<33>"), "columns out of it", Space::shared, false).per_request(), 1);
  EXPECT_EQ(traffic_of("transpose").size(), 8) << "of both instances";
  EXPECT_TRUE(traffic_of("trans").empty()) << "the beginning of a name is not the name";
}

TEST_F(Traffic, VectorsAreOneRequest) {
  const DeviceArray<float> x(counted(128));
  const DeviceArray<float> y(32);
  launch(read_vectors, {.threads = 32}, reinterpret_cast<const float4*>(x.data()), y.data());
  const auto all = traffic_of("read_vectors");
  ASSERT_EQ(all.size(), 2);
  const LineTraffic& read = all[0].write ? all[1] : all[0];
  EXPECT_EQ(read.width, 16);
  EXPECT_EQ(read.requests, 1);
  EXPECT_EQ(read.transactions, 16);
  EXPECT_EQ(read.waste(), 1);
}

TEST_F(Traffic, AtomicsAndBroadcastsNeedOneSector) {
  const DeviceArray<int> sum(std::vector<int>{0});
  launch(add_to_one, {.blocks = 3, .threads = 64}, sum.data());
  const auto atomics = traffic_of("add_to_one");
  ASSERT_EQ(atomics.size(), 1);
  EXPECT_TRUE(atomics[0].atomic);
  EXPECT_EQ(atomics[0].requests, 6);
  EXPECT_EQ(atomics[0].per_request(), 1);
  EXPECT_EQ(sum.values()[0], 192);
  const DeviceArray<float> x(counted(1));
  const DeviceArray<float> y(32);
  launch(read_one, {.threads = 32}, x.data(), y.data());
  for (const LineTraffic& traffic : traffic_of("read_one")) {
    EXPECT_EQ(traffic.per_request(), traffic.write ? 4 : 1);
    EXPECT_EQ(traffic.waste(), 1);
  }
}

TEST_F(Traffic, RecordingAgainForgets) {
  const DeviceArray<int> sum(std::vector<int>{0});
  launch(add_to_one, {}, sum.data());
  EXPECT_FALSE(traffic_of("").empty());
  record_traffic(true);
  EXPECT_TRUE(traffic_of("").empty());
  record_traffic(false);
  launch(add_to_one, {}, sum.data());
  EXPECT_TRUE(traffic_of("").empty()) << "nothing is counted while it is off";
}

TEST_F(Traffic, TableMarksWhatIsWasteful) {
  const DeviceArray<float> x(counted(64 * 8));
  const DeviceArray<float> y(64);
  launch(read_strided, {.threads = 64}, x.data(), y.data(), 8);
  const std::string table = traffic_table("read_strided");
  const auto row = [&](const std::string& mark) {
    const std::size_t begin = table.find(marked_line(__FILE__, mark));
    return table.substr(begin, table.find('\n', begin) - begin);
  };
  EXPECT_NE(row("strided read").find("32.00   8.00  <--"), std::string::npos) << table;
  EXPECT_EQ(row("packed write").find("<--"), std::string::npos) << table;
}

}  // namespace
}  // namespace cudasim::testing
