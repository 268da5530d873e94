// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "kernels/linear_products.hpp"
#include "model/parameters.hpp"
#include "model/pass.hpp"

namespace polyphase {

// How a product is divided over tensor-parallel ranks (Shoeybi et al., 2019, section 3): by columns
// of the output (rows of the stored [out, in] weight), by rows of the input, or not at all.
enum class LinearSplit { kNone, kOutput, kInput };

struct LinearShape {
  std::int64_t in = 0;  // of the whole model, as are the outputs' sizes
  LinearSplit split = LinearSplit::kNone;
  bool has_bias = true;
  double deviation = 0;  // of the weight's initial values; 0: the model's
};

// One product's parameters: NAME.weight and NAME.bias.
struct LinearOutput {
  std::string name;
  std::int64_t size = 0;
};

// y_NO = x_NI · weightᵀ + bias. With an output split, x and dx are whole, y is this rank's part,
// and dx is a partial sum; with an input split, x is this rank's part, and y is a partial sum
// without bias: the caller sums y over the tensor ranks and adds the bias once, to the rows that it
// has (Pass::own()), and makes the bias's gradient of them. Several outputs
// that read the same x are one product, their columns side by side. Where the parameter set has
// adapters for a weight, it is used with its low-rank addition, NAME.lora_a and NAME.lora_b; the
// factor beside the weight's split dimension is split like it, the other is whole on every rank.
class Linear {
 public:
  Linear(ParameterSet& parameters, const Communicator& tensor,
         const std::vector<LinearOutput>& outputs, const LinearShape& shape);

  std::int64_t local_in() const { return local_in_; }
  std::int64_t local_out() const { return local_out_; }  // of all outputs
  // The first local column of output i.
  std::int64_t first_column(std::size_t i) const { return first_columns_[i]; }

  template <class In, class Out>
  void forward(const Pass& pass, Tensor2<Out> y_NO, Tensor2<const In> x_NI) const;
  // With an activation behind it, y_NO = activation(x_NO); no split of the input.
  template <class Real>
  void forward_activated(const Pass& pass, Activation kind, Tensor2<Real> y_NO, Tensor2<Real> x_NO,
                         Tensor2<const Real> x_NI) const;
  // dx_NI = dy_NO · weight, or added to it.
  template <class In, class Out>
  void backward_input(const Pass& pass, Tensor2<Out> dx_NI, Tensor2<const In> dy_NO,
                      Write write = Write::kOverwrite) const;
  // Back through the activation in front, dx_NI = (dy_NO · weight) · activation'(x_NI), and
  // y_NI = activation(x_NI) again. Returns what of `dbias`, the gradient of the bias that is in
  // x_NI, is left to that product's backward_weight().
  template <class Real>
  BiasGradient backward_activated(const Pass& pass, Activation kind, Tensor2<Real> dx_NI,
                                  Tensor2<Real> y_NI, const BiasGradient& dbias,
                                  Tensor2<const Real> dy_NO, Tensor2<const Real> x_NI) const;
  // Gradient of the weight, dyᵀ · x, or of the factors of its low-rank addition, and beside it
  // column sums of dy. Of weights that are not trained there is no gradient.
  template <class In>
  void backward_weight(const Pass& pass, Tensor2<const In> dy_NO, Tensor2<const In> x_NI,
                       const BiasGradient& dbias = {}) const;
  // The same with the gradient of the bias, if there is one that is trained.
  template <class In>
  void backward_weight_and_bias(const Pass& pass, Tensor2<const In> dy_NO,
                                Tensor2<const In> x_NI) const;

  // Empty without a bias.
  Tensor1<const float> bias() const;
  // Nothing of one that is not trained. To be asked for once in a pass, since who asks first
  // overwrites.
  BiasGradient bias_gradient() const;

 private:
  // The low-rank addition to the rows of one output.
  struct Adapter {
    std::int64_t first_row = 0, num_rows = 0;
    std::size_t a = 0, b = 0;
  };
  void declare_adapters(const Communicator& tensor, const std::vector<LinearOutput>& outputs);
  // Empty where nobody has rounded it.
  Tensor1<const bf16> rounded_bias() const;
  // What the product multiplies with, in its precision.
  template <class In>
  Tensor2<const In> weight(const Pass& pass) const;
  // The parameter with its low-rank additions, in float32, made in the arena.
  Tensor2<const float> adapted_weight(const Exec& exec) const;
  template <class In>
  void backward_adapter(const Pass& pass, const Adapter& adapter, Tensor2<const In> dy_NO,
                        Tensor2<const In> x_NI) const;
  void add_gradient(const Pass& pass, std::size_t factor, Tensor2<float> gradient) const;

  ParameterSet& parameters_;
  LinearShape shape_;
  std::size_t num_joined_;
  std::vector<Adapter> adapters_;
  double adapter_scale_ = 1.0;
  std::size_t weight_ = 0, bias_ = 0;
  std::int64_t local_in_ = 0, local_out_ = 0;
  std::vector<std::int64_t> first_columns_;
};

// The weights of a product in its arithmetic's precision: the parameter itself, or a copy in the
// arena.
template <class Real>
Tensor2<const Real> in_precision(const Exec& exec, Tensor2<const float> weight);

// The same of parameter `number`; in a generation the copy is kept.
template <class Real>
Tensor2<const Real> in_precision(const Pass& pass, std::size_t number, Tensor2<const float> weight);

}  // namespace polyphase
