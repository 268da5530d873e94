// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/attention_layer.hpp"
#include "model/chunk_layers.hpp"
#include "model/embedding_layer.hpp"
#include "model/norm_layer.hpp"
#include "model/relative_table.hpp"
#include "model/stack_lesson.hpp"
#include "model/sublayer.hpp"

namespace polyphase {

// What tells the stacks of a model apart.
struct StackRole {
  std::string prefix;  // of its parameters' names
  std::int64_t num_layers = 0;
  std::int64_t first_layer = 0;  // counted through the model's stacks
  ChunkLayers chunks;            // that the model's layers are in
  bool causal = false;
  std::uint64_t first_place = 0;  // keys dropout; places of stacks must not overlap
};

// A stack of transformer blocks over embedded rows: encoder, decoder, or, with an encoder's output
// to attend to, the decoder of a pair. Pre-norm and post-norm are the same chain of S + 1 norms for
// S sublayers: norm 0 takes the embeddings; norm s (s ≥ 1) takes the residual plus the update of
// sublayer s and feeds sublayer s + 1. They differ only in the residual that goes on: the norm's
// input (pre) or its output (post). Attention heads and feed-forward columns are split over the
// tensor-parallel ranks; what lies between products is whole on each of them, or its rows are split
// (Pass::divides_rows). A layer that is passed over in a step is a chain's link
// left out, with the norms that belong to it.
//
// A chunk of a pipeline runs the links of its own layers. At its ends the chain is cut: of the last
// link it makes but the residual plus the update (pre), or its norm (post), which is the residual
// stream that the next chunk begins with.
//
// Of links that a pass makes again (recipe::Recompute), the sum of the norm behind the last is kept
// and all else given back to the arena. The backward pass, arrived at them, runs them once more
// from the norm in front, under the same keys of dropout and with the same sums over the
// tensor-parallel ranks. A pass that does not train keeps the sum behind a layer only until the
// next layer is done.
template <class Real>
class Stack {
 public:
  // `encoder` may be nullptr: no cross attention.
  Stack(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
        const EmbeddingLayer& embedding, const StackRole& role,
        const EncoderOutput<Real>* encoder = nullptr);

  // The layers of the chunk that it was made for; without any, no pass goes through here.
  const LayerRange& layers() const { return layers_; }
  // Whether a pass needs gradients of what feeds this stack, in whatever chunk that is.
  bool feeder_is_trained() const { return parameters_.any_trained(0, begin_parameter_); }

  // Returns the final hidden states, whole on every tensor-parallel rank, in the arena; of a chunk
  // without the last layer nothing of use, having sent on what there is.
  Tensor2<const Real> forward(const Pass& pass);

  // dhidden_NC is the gradient of the final hidden states, whose own rows are read, and memory for
  // what follows; it lies below what the forward pass took of the arena, which is given back layer
  // by layer. Going down the layers, `final_from` hears the number of the first parameter from
  // which on all gradients of the set are final. It goes no lower than something is trained.
  using FinalFrom = std::function<void(std::size_t)>;
  void backward(const Pass& pass, Tensor2<float> dhidden_NC, const FinalFrom& final_from);

  // Distillation (see stack_lesson.hpp). Layers are counted from 0.
  std::int64_t num_layers() const { return num_sublayers() / sublayers_of_layer_; }
  std::int64_t num_heads() const { return model_.num_heads; }
  std::int64_t num_local_heads() const { return self_attention(0).num_local_heads(); }
  // As a student's: passes that train are compared with the teacher's.
  void learn_from(StackLesson<Real>* lesson) { lesson_ = lesson; }
  void teach_attention(std::int64_t layer, const DoneAttention<Real>& teacher, float scale);
  // As a teacher's: passes that do not train keep this layer's attention, or what goes on behind
  // it.
  void keep_attention(std::int64_t layer) { keeps_attention_[layer] = true; }
  void keep_residual(std::int64_t layer) { keeps_residual_[layer] = true; }
  // Of the last forward pass; a student's only while it is there.
  DoneAttention<Real> done_attention(std::int64_t layer) const;
  // What goes on along the residual stream behind a layer that is not the last, in the chunk that
  // begins with the next one or has both, of the own rows: kept, or made again in the arena of
  // `pass`, another stack's too.
  Tensor2<const float> residual_behind(const Pass& pass, std::int64_t layer);
  Tensor2<const Real> output() const { return y_NC_; }

 private:
  // Where the residual stream stands behind the last link.
  Tensor2<const float> residual() {
    return post() ? Tensor2<const float>(y_float_NC_) : norm(chain_.size()).sum();
  }
  bool post() const { return model_.norm == recipe::NormPlacement::kPost; }
  std::int64_t num_sublayers() const { return static_cast<std::int64_t>(sublayers_.size()); }
  Sublayer<Real>& sublayer(std::int64_t s) const { return *sublayers_[s - 1]; }  // counted from 1
  SelfAttention<Real>& self_attention(std::int64_t layer) const {
    return static_cast<SelfAttention<Real>&>(sublayer(layer * sublayers_of_layer_ + 1));
  }
  std::size_t first_parameter(std::int64_t layer) const {
    return first_parameter_[static_cast<std::size_t>(layer)];
  }
  // The layer of a link, and whether it is the layer's attention or its last.
  std::int64_t layer_of(std::size_t i) const { return (chain_[i - 1] - 1) / sublayers_of_layer_; }
  bool is_attention(std::size_t i) const { return (chain_[i - 1] - 1) % sublayers_of_layer_ == 0; }
  bool ends_layer(std::size_t i) const { return chain_[i - 1] % sublayers_of_layer_ == 0; }
  // The sublayers that this pass goes through.
  std::vector<std::int64_t> chain(const Pass& pass) const;
  // Links of the chain that are kept, or made again together; counted from 1.
  struct Part {
    std::size_t first = 0, last = 0;
    bool kept = true;
  };
  Part part_of(const Pass& pass, std::size_t link) const;
  // From y_NC_ and the residual stream in front of a link to those behind it.
  void run_link(const Pass& pass, std::size_t i, Tensor2<float> update_NC);
  void run_sublayer(const Pass& pass, std::size_t i, Tensor2<float> update_NC);
  // A layer's parameters in bf16, which its products find until the end of the block: rounded in
  // one launch, unless they are there already. Nothing in float32, with low-rank additions (which
  // come first), where a generation keeps weights, and in a pipeline, where each pass that is under
  // way would hold a layer's.
  std::optional<RoundedValues> rounded(const Pass& pass, std::int64_t layer);
  // The own rows of what went into a link, again.
  template <class Out>
  void input_again(const Pass& pass, std::size_t i, Tensor2<Out> y_NC);
  // All that the backward pass needs of these links, and the last one's input.
  void run_again(const Pass& pass, const Part& part, Tensor2<float> update_NC);
  // The gradients of the layers from parameter `first` to before `final`, which falls to it, are
  // done: those of layers that were passed over are zero. final_from() hears of every layer.
  void end_layers(std::size_t first, std::size_t& final, const FinalFrom& final_from);
  // Of a norm's sum, in this memory, or, where that is empty, the arena's. Returns it.
  Tensor2<float> reserve_norm(const Pass& pass, std::size_t i, Tensor2<float> sum_NC = {});
  // The norm behind link i of the chain, counted from 1; 0: in front of the first.
  NormLayer<Real>& norm(std::size_t i);
  Dropout embedding_dropout(const Pass& pass) const;
  Dropout update_dropout(const Pass& pass, std::int64_t s) const;

  ParameterSet& parameters_;
  const recipe::Model model_;
  const EmbeddingLayer& embedding_;
  const std::uint64_t first_place_;
  const LayerRange layers_;
  const std::size_t begin_parameter_;  // of this stack
  RelativeTable relative_;
  std::vector<std::unique_ptr<Sublayer<Real>>> sublayers_;
  std::int64_t sublayers_of_layer_ = 0;
  std::vector<NormLayer<Real>> norms_;  // one more than sublayers
  NormLayer<Real> cut_;                // of a chunk: in front of its first link, or behind the last
  std::vector<std::int64_t> chain_;    // of the last forward pass, as are these:
  std::size_t first_byte_ = 0;         // of the arena, of all that this stack takes
  std::vector<std::size_t> kept_end_;  // of the arena, behind what a part's last link kept
  Tensor2<Real> y_NC_;                 // what the last norm has put out
  Tensor2<float> y_float_NC_;          // the residual stream of a post-norm model: own rows
  Tensor2<float> update_NC_;
  std::int64_t most_rounded_ = 0;  // elements of a layer, where passes round it
  Tensor1<bf16> rounded_;          // of this layer
  std::int64_t rounded_layer_ = -1;
  const Pass* pass_ = nullptr;
  StackLesson<Real>* lesson_ = nullptr;
  std::vector<bool> keeps_attention_, keeps_residual_;  // of each layer
  std::vector<std::size_t> first_parameter_;  // of each layer, and of what comes behind the last
  std::size_t end_parameter_ = 0;             // behind those of this stack
};

}  // namespace polyphase
