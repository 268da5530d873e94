// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <vector>

#include "kernels/elementwise.hpp"
#include "kernels/for_rows.hpp"

namespace polyphase {

// One of several tensors, or sets of them with equal extents, that a launch has for itself: what
// a kernel needs of it, and its place among all blocks of elements.
template <class Item>
struct ElementItem {
  Item item;
  std::int64_t num_elements, first_block;
};

template <class Item, class Body>
struct ItemBlock {
  static constexpr std::int64_t kElements = ElementBlock<Body>::kElements;
  const ElementItem<Item>* items;
  std::int64_t num_items;
  Body body;
  KOKKOS_INLINE_FUNCTION void operator()(const Row& row) const {
    std::int64_t low = 0, high = num_items;  // the last that begins at this block or before
    while (high - low > 1) {
      const std::int64_t middle = (low + high) / 2;
      (items[middle].first_block <= row.index() ? low : high) = middle;
    }
    const Item item = items[low].item;
    const std::int64_t begin = (row.index() - items[low].first_block) * kElements;
    const Body copy = body;
    row.each(smaller(kElements, items[low].num_elements - begin),
             [=](std::int64_t i) { copy(item, begin + i); });
  }
};

// Runs body(item, i) for elements [0, count_of(item)) of every item in one launch: many small
// tensors one by one take longer to start than to work on. Each element is treated as by
// for_elements().
template <class Item, class CountOf, class Body>
void for_elements_of_all(const Exec& exec, const std::vector<Item>& items, const CountOf& count_of,
                         const Body& body) {
  static_assert(std::is_trivially_copyable_v<Item>);
  std::vector<ElementItem<Item>> placed;
  std::int64_t num_blocks = 0;
  for (const Item& item : items) {
    const std::int64_t count = count_of(item);
    if (count == 0) continue;
    placed.push_back({item, count, num_blocks});
    num_blocks += divide_up(count, ItemBlock<Item, Body>::kElements);
  }
  const ArenaScope scope(*exec.arena);
  const auto num_bytes = static_cast<std::int64_t>(placed.size() * sizeof(ElementItem<Item>));
  const Tensor1<std::byte> memory = exec.arena->take1<std::byte>(num_bytes);
  copy_to_device(exec, memory, reinterpret_cast<const std::byte*>(placed.data()));
  for_rows(exec, num_blocks,
           ItemBlock<Item, Body>{reinterpret_cast<const ElementItem<Item>*>(memory.data()),
                                 static_cast<std::int64_t>(placed.size()), body});
}

}  // namespace polyphase
