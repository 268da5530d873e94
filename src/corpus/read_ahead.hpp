// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

namespace polyphase {

// One thread that makes items ahead of their use, at most `capacity` of them.
//
// Orderings that hold: items come out as they were made; an item is begun only when there is room
// for it, so memory is bounded; an exception of the maker comes out behind the items made before
// it, at every later call too; the destructor asks the maker to stop and joins it before anything
// the maker uses goes away (thread_ is the last member).
template <class Item>
class ReadAhead {
 public:
  // Returns the next item or nothing at the end. Looks at the stop token at least once a sample;
  // what it returns after a stop is thrown away.
  using Maker = std::function<std::optional<Item>(const std::stop_token&)>;

  ReadAhead(std::size_t capacity, Maker maker)
      : capacity_(capacity),
        maker_(std::move(maker)),
        thread_([this](const std::stop_token& stop) { run(stop); }) {}

  // Waits for the next item; nothing at the end. Throws what the maker threw.
  std::optional<Item> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !items_.empty() || ended_; });
    if (items_.empty()) {
      if (error_) std::rethrow_exception(error_);
      return std::nullopt;
    }
    std::optional<Item> item(std::move(items_.front()));
    items_.pop_front();
    changed_.notify_all();
    return item;
  }

 private:
  void run(const std::stop_token& stop) {
    sigset_t all;  // signals go to the thread that trains: it polls their flag
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::exception_ptr error;
    try {
      while (wait_for_room(stop)) {
        std::optional<Item> item = maker_(stop);
        if (!item || stop.stop_requested()) break;
        const std::scoped_lock lock(mutex_);
        items_.push_back(std::move(*item));
        changed_.notify_all();
      }
    } catch (...) {
      error = std::current_exception();
    }
    const std::scoped_lock lock(mutex_);
    error_ = error;
    ended_ = true;
    changed_.notify_all();
  }

  bool wait_for_room(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    return changed_.wait(lock, stop, [this] { return items_.size() < capacity_; }) &&
           !stop.stop_requested();
  }

  const std::size_t capacity_;
  const Maker maker_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Item> items_;  // this and below: under mutex_
  bool ended_ = false;
  std::exception_ptr error_;
  std::jthread thread_;
};

}  // namespace polyphase
