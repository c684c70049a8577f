#include "kernels/spec_augment.h"

#include <gtest/gtest.h>

#include <array>

#include "kernels/error.h"

namespace earmark::kernels {
namespace {

Tensor counting(std::int64_t segments, std::int64_t bands, std::int64_t frames) {
  const Tensor x({segments, bands, frames, 1});
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    x.mutable_data<float>()[i] = static_cast<float>(i);
  }
  return x;
}

TEST(SpecAugment, OverwritesRangesWithTheMeanOfBefore) {
  const Tensor x = counting(2, 4, 6);
  const Tensor y = x.clone();
  const std::array<MaskRange, 4> bands = {{{1, 2}, {1, 3}, {0, 0}, {3, 4}}};  // two for each segment
  const std::array<MaskRange, 2> frames = {{{5, 6}, {0, 2}}};                 // one
  spec_augment({y, bands, frames});
  for (std::int64_t i = 0; i < 48; ++i) {
    const std::int64_t f = i / 6 % 4;
    const std::int64_t t = i % 6;
    const bool masked = i < 24 ? (f == 1 || f == 2 || t == 5) : (f == 3 || t < 2);
    EXPECT_EQ(y.data<float>()[i], masked ? (i < 24 ? 11.5F : 35.5F) : x.data<float>()[i]) << i;
  }
}

TEST(SpecAugment, OverwritesBoxesWithWhatIsAskedFor) {
  const Tensor x = counting(2, 4, 6);
  const Tensor y = x.clone();
  const std::array<MaskRange, 2> frames = {{{0, 0}, {5, 6}}};
  const std::array<MaskBox, 4> boxes = {{{{1, 3}, {2, 5}}, {{0, 1}, {0, 1}}, {{3, 3}, {0, 6}}, {{0, 4}, {2, 2}}}};
  spec_augment({y, {}, frames, boxes, -1.0F});
  for (std::int64_t i = 0; i < 48; ++i) {
    const std::int64_t f = i / 6 % 4;
    const std::int64_t t = i % 6;
    const bool masked = i < 24 ? (f == 1 || f == 2) && t >= 2 && t < 5 : t == 5;
    EXPECT_EQ(y.data<float>()[i], masked || i == 0 ? -1 : x.data<float>()[i]) << i;
  }
  const Tensor z = x.clone();
  spec_augment({z, {}, {}, boxes});
  EXPECT_EQ(z.data<float>()[8], 11.5F);
  EXPECT_EQ(z.data<float>()[7], 7);
  const std::array<MaskBox, 2> outside = {{{{0, 4}, {0, 7}}, {}}};
  EXPECT_THROW(spec_augment({x, {}, {}, outside}), Error);
}

TEST(SpecAugment, RangesOutsideAndUnevenNumbersAreRefused) {
  const Tensor x = counting(2, 4, 6);
  const std::array<MaskRange, 2> outside = {{{0, 5}, {0, 0}}};
  EXPECT_THROW(spec_augment({x, outside, {}}), Error);
  EXPECT_NO_THROW(spec_augment({x, {}, outside}));
  const std::array<MaskRange, 3> three = {};
  EXPECT_THROW(spec_augment({x, three, {}}), Error);
  const std::array<MaskRange, 2> backwards = {{{2, 1}, {0, 0}}};
  EXPECT_THROW(spec_augment({x, backwards, {}}), Error);
  EXPECT_THROW(spec_augment({Tensor({2, 4, 6}), {}, {}}), Error);
}

}  // namespace
}  // namespace earmark::kernels
