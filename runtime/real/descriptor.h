// Descriptor: owns one file descriptor of the kernel. Nothing else.
#pragma once

#include <unistd.h>

#include <utility>

namespace orrery::real {

class Descriptor {
 public:
    Descriptor() = default;
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        if (this != &other) {
            reset();
            number_ = std::exchange(other.number_, -1);
        }
        return *this;
    }
    ~Descriptor() { reset(); }

    int get() const { return number_; }
    bool valid() const { return number_ >= 0; }
    int release() { return std::exchange(number_, -1); }
    /// close(2) once, whatever it answers: after EINTR the number may be somebody else's already.
    void reset() {
        if (number_ >= 0) ::close(std::exchange(number_, -1));
    }

 private:
    int number_ = -1;
};

}  // namespace orrery::real
