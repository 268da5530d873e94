// SPDX-License-Identifier: Apache-2.0
#include "kernels/orthogonalise.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/combine.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/matmul.hpp"

namespace polyphase {
namespace {

constexpr int kSteps = 5;
constexpr float kFirst = 3.4445F, kThird = -4.7750F, kFifth = 2.0315F;  // x → ax + bx³ + cx⁵
constexpr double kSmallestNorm = 1e-7;

Tensor2<const float> read(Tensor2<float> x) { return x; }

}  // namespace

void orthogonalise(const Exec& exec, Tensor2<float> x_RC) {
  const KernelRegion region("orthogonalise");
  const auto num_rows = static_cast<std::int64_t>(x_RC.extent(0)),
             num_columns = static_cast<std::int64_t>(x_RC.extent(1));
  const bool wide = num_rows <= num_columns;
  const std::int64_t side = std::min(num_rows, num_columns);
  ArenaScope scope(*exec.arena);
  const auto gram = exec.arena->take2<float>(side, side),
             square = exec.arena->take2<float>(side, side);
  const auto next_RC = exec.arena->take2<float>(num_rows, num_columns);
  const double norm = std::sqrt(sum_of_squares(exec, Tensor1<const float>(flat(x_RC))));
  scale(exec, flat(x_RC), static_cast<float>(1.0 / std::max(norm, kSmallestNorm)));
  for (int step = 0; step < kSteps; ++step) {
    // gram = x · xᵀ (or xᵀ · x where that is smaller); square = b · gram + c · gram².
    matmul<float, float>(exec, gram, read(x_RC), wide ? Transpose::kNo : Transpose::kYes,
                         read(x_RC), wide ? Transpose::kYes : Transpose::kNo);
    matmul<float, float>(exec, square, read(gram), Transpose::kNo, read(gram), Transpose::kNo);
    combine(exec, flat(square), kFifth, Tensor1<const float>(flat(gram)), kThird);
    const Tensor2<const float> left = wide ? read(square) : read(x_RC);
    const Tensor2<const float> right = wide ? read(x_RC) : read(square);
    matmul<float, float>(exec, next_RC, left, Transpose::kNo, right, Transpose::kNo);
    combine(exec, flat(x_RC), kFirst, Tensor1<const float>(flat(next_RC)), 1.0F);
  }
}

}  // namespace polyphase
