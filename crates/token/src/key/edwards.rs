//! Whether 32 bytes are a sound Ed25519 public key.
//!
//! aws-lc looks at the point only while it verifies, and takes points of small order, for which
//! one signature fits many messages. Both are caught here, once, when a key is registered. Public
//! data only, so nothing has to be constant-time.

/// The encoding is canonical, the point is on the curve and its order is not one of 1, 2, 4, 8.
pub(super) fn is_sound(encoded: &[u8; 32]) -> bool {
    let Some(y) = Field::read(encoded) else {
        return false;
    };
    let square = y.times(y);
    // x² = u / v, a square exactly if u·v is one. The sign of x is free.
    let u = square.minus(Field::ONE);
    let v = D.times(square).plus(Field::ONE);
    let product = u.times(v);
    if product.is_zero() {
        return false; // x = 0: the points of order 1 and 2
    }
    if !product.is_square() {
        return false;
    }
    // Order 4: y = 0. Order 8: the double has y = 0, which comes to d·y⁴ + 2y² = 1.
    let eighth = D.times(square).times(square).plus(square).plus(square);
    !y.is_zero() && !eighth.minus(Field::ONE).is_zero()
}

/// A number modulo p = 2²⁵⁵ − 19, always reduced.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Field([u64; 4]);

impl Field {
    const ONE: Self = Self([1, 0, 0, 0]);

    /// The lower 255 bits; `None` if they are not below p.
    fn read(bytes: &[u8; 32]) -> Option<Self> {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*chunk);
        }
        limbs[3] &= u64::MAX >> 1;
        below_p(&limbs).then_some(Self(limbs))
    }

    fn plus(self, other: Self) -> Self {
        let mut sum = [0; 4];
        let mut carry = false;
        for (n, limb) in sum.iter_mut().enumerate() {
            (*limb, carry) = self.0[n].add_carry(other.0[n], carry);
        }
        Self::reduced(sum) // both are below 2²⁵⁵, so nothing is carried out
    }

    fn minus(self, other: Self) -> Self {
        let mut negated = [0; 4];
        let mut borrow = false;
        for (n, limb) in negated.iter_mut().enumerate() {
            (*limb, borrow) = P[n].sub_borrow(other.0[n], borrow);
        }
        self.plus(Self::reduced(negated))
    }

    fn times(self, other: Self) -> Self {
        let mut wide = [0_u64; 8];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (j, b) in other.0.iter().enumerate() {
                let sum = u128::from(wide[i + j]) + u128::from(*a) * u128::from(*b) + carry;
                wide[i + j] = low(sum);
                carry = sum >> 64;
            }
            wide[i + 4] = low(carry);
        }
        // 2²⁵⁶ = 38 modulo p; twice, because the first fold leaves a carry.
        let mut limbs = [0; 4];
        let mut carry = 0;
        for n in 0..4 {
            let sum = u128::from(wide[n]) + u128::from(wide[n + 4]) * 38 + carry;
            limbs[n] = low(sum);
            carry = sum >> 64;
        }
        while carry > 0 {
            carry *= 38;
            for limb in &mut limbs {
                let sum = u128::from(*limb) + carry;
                *limb = low(sum);
                carry = sum >> 64;
            }
        }
        Self::reduced(limbs)
    }

    /// Euler's criterion, for a number that is not zero.
    fn is_square(self) -> bool {
        let mut power = Self::ONE;
        for limb in HALF.iter().rev() {
            for bit in (0..64).rev() {
                power = power.times(power);
                if limb >> bit & 1 == 1 {
                    power = power.times(self);
                }
            }
        }
        power == Self::ONE
    }

    fn is_zero(self) -> bool {
        self.0 == [0; 4]
    }

    fn reduced(mut limbs: [u64; 4]) -> Self {
        while !below_p(&limbs) {
            let mut borrow = false;
            for (limb, p) in limbs.iter_mut().zip(P) {
                (*limb, borrow) = limb.sub_borrow(p, borrow);
            }
        }
        Self(limbs)
    }
}

trait Chained: Sized {
    fn add_carry(self, other: Self, carry: bool) -> (Self, bool);
    fn sub_borrow(self, other: Self, borrow: bool) -> (Self, bool);
}

impl Chained for u64 {
    fn add_carry(self, other: Self, carry: bool) -> (Self, bool) {
        let (sum, first) = self.overflowing_add(other);
        let (sum, second) = sum.overflowing_add(Self::from(carry));
        (sum, first | second)
    }

    fn sub_borrow(self, other: Self, borrow: bool) -> (Self, bool) {
        let (difference, first) = self.overflowing_sub(other);
        let (difference, second) = difference.overflowing_sub(Self::from(borrow));
        (difference, first | second)
    }
}

fn below_p(limbs: &[u64; 4]) -> bool {
    limbs.iter().rev().lt(P.iter().rev())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is what is wanted"
)]
fn low(sum: u128) -> u64 {
    sum as u64
}

/// 2²⁵⁵ − 19
const P: [u64; 4] = [0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, u64::MAX >> 1];

/// (p − 1) / 2
const HALF: [u64; 4] = [0xffff_ffff_ffff_fff6, u64::MAX, u64::MAX, u64::MAX >> 2];

/// d = −121665/121666
const D: Field = Field([
    0x75eb_4dca_1359_78a3,
    0x0070_0a4d_4141_d8ab,
    0x8cc7_4079_7779_e898,
    0x5203_6cee_2b6f_fe73,
]);

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> [u8; 32] {
        std::array::from_fn(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hex digits"))
    }

    #[test]
    fn real_public_keys_are_sound() {
        // The base point, and the public keys of RFC 8032 §7.1.
        for good in [
            "5866666666666666666666666666666666666666666666666666666666666666",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
        ] {
            assert!(is_sound(&bytes(good)), "{good}");
        }
    }

    #[test]
    fn points_of_small_order_are_refused() {
        for small in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        ] {
            assert!(!is_sound(&bytes(small)), "{small}");
        }
    }

    #[test]
    fn spellings_at_or_above_the_prime_are_refused() {
        for high in [
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ] {
            assert!(!is_sound(&bytes(high)), "{high}");
        }
    }

    #[test]
    fn about_half_of_all_texts_are_no_point() {
        let on_curve = (2..202_u8)
            .filter(|n| {
                let mut encoded = [0; 32];
                encoded[0] = *n;
                encoded[7] = 0x5a;
                is_sound(&encoded)
            })
            .count();
        assert!((70..130).contains(&on_curve), "{on_curve}");
    }
}
