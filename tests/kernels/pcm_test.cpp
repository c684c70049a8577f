#include "kernels/pcm.h"

#include <gtest/gtest.h>

#include <array>

#include "kernels/error.h"

namespace earmark::kernels {
namespace {

TEST(Pcm, FullScaleIsOne) {
  const std::array<std::int16_t, 5> samples = {32767, -32767, 0, 1, -32768};
  const Tensor out({5});
  widen_pcm({Tensor::from<std::int16_t>({5}, samples), out});
  EXPECT_EQ(out.data<float>()[0], 1);
  EXPECT_EQ(out.data<float>()[1], -1);
  EXPECT_EQ(out.data<float>()[2], 0);
  EXPECT_FLOAT_EQ(out.data<float>()[3], 1.0F / 32767.0F);
  EXPECT_FLOAT_EQ(out.data<float>()[4], -32768.0F / 32767.0F);
}

TEST(Pcm, OtherShapesAndTypesAreRefused) {
  EXPECT_THROW(widen_pcm({Tensor({5}, DType::i16), Tensor({4})}), Error);
  EXPECT_THROW(widen_pcm({Tensor({5}, DType::i32), Tensor({5})}), Error);
}

}  // namespace
}  // namespace earmark::kernels
