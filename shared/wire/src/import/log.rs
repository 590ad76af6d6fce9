//! The natural logarithm of an `f32` as the C library rounds it.
//!
//! XGBoost keeps its base score as a probability or a mean and starts sums with a logarithm of
//! it, taken with the C library's `logf`. A bit of it is a bit of every prediction, and a
//! correctly rounded logarithm differs in the last bit for one argument in 300.

/// 1/c and ln c for a c in each sixteenth of `[0.7, 1.4)`, one of them 1.
///
/// The constants are those of Arm's optimized routines (`logf`, MIT), by which glibc since 2.28
/// and musl since 1.2 compute it.
#[rustfmt::skip]
const TABLE: [(f64, f64); 16] = [
    (1.398907162146528, -0.33569133332882284),
    (1.3403141896637998, -0.2929040563774074),
    (1.286432210124115, -0.2518726580937369),
    (1.2367150214269895, -0.21245868807117255),
    (1.1906977166711752, -0.17453945183745634),
    (1.1479821020556429, -0.1380057072319758),
    (1.1082251448272158, -0.10275976698545139),
    (1.0711297413057381, -0.06871392447020525),
    (1.036437278977283, -0.0357891387398228),
    (1.0, 0.0),
    (0.9492859795739057, 0.05204517742929496),
    (0.8951049428609004, 0.11081431298787942),
    (0.8476821620351103, 0.1652495223695143),
    (0.8050314851692001, 0.21687389031699977),
    (0.7664671008843108, 0.2659635028121397),
    (0.731428603316328, 0.3127556664073557),
];
/// ln(1 + r) is about r + r² (C + B r + A r²).
const POLYNOMIAL: [f64; 3] = [-0.25089342214237154, 0.333456765744066, -0.4999997485802103];
/// Bits of the lowest of the sixteenths.
const LOWEST: u32 = 0x3f33_0000;

/// ln `x`, for finite `x` above 0.
pub(super) fn ln(x: f32) -> f32 {
    let (bits, scaled) = if x < f32::MIN_POSITIVE {
        ((x * 8_388_608.0).to_bits(), 23)
    } else {
        (x.to_bits(), 0)
    };
    // x = 2^k z with z in the table's range; the top four bits of its mantissa name a c.
    let above = bits.wrapping_sub(LOWEST);
    let (inverse, log) = TABLE[(above >> 19) as usize % TABLE.len()];
    let k = (above as i32 >> 23) - scaled;
    let z = f32::from_bits(bits.wrapping_sub(above & 0xff80_0000));
    let r = f64::from(z) * inverse - 1.0;
    let whole = log + f64::from(k) * core::f64::consts::LN_2;
    let square = r * r;
    let [a, b, c] = POLYNOMIAL;
    let rest = a * square + (b * r + c);
    (rest * square + (whole + r)) as f32
}

#[cfg(test)]
mod tests {
    use super::ln;

    #[test]
    fn logarithms_have_the_bits_that_glibc_gave() {
        let known: [(f32, u32); 8] = [
            (0.34, 0xbf8a166f),
            (1.0, 0x00000000),
            (1.9411764, 0x3f29cda6),
            (0.5, 0xbf317218),
            (10.0, 0x40135d8e),
            (3e-39, 0xc2b16788),
            (3e+38, 0x42b13196),
            (1.0000001, 0x33ffffff),
        ];
        for (x, bits) in known {
            assert_eq!(ln(x).to_bits(), bits, "ln {x}");
        }
    }

    /// The standard library calls the C library.
    #[cfg(all(target_env = "gnu", target_arch = "x86_64"))]
    #[test]
    fn logarithms_are_the_c_librarys() {
        // Every 997th positive number, subnormal ones too.
        for bits in (1..f32::INFINITY.to_bits()).step_by(997) {
            let x = f32::from_bits(bits);
            assert_eq!(ln(x).to_bits(), x.ln().to_bits(), "ln {x:e}");
        }
    }
}
