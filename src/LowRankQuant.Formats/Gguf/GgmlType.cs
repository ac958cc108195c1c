namespace LowRankQuant.Formats.Gguf;

/// <summary>Tensor types of GGUF files, with their numbers. Source: ggml-org/ggml, include/ggml.h; the gaps are types that were removed.</summary>
public enum GgmlType
{
    /// <summary>IEEE 754 binary32.</summary>
    F32 = 0,

    /// <summary>IEEE 754 binary16.</summary>
    F16 = 1,

    /// <summary>Blocks of 32 elements in 18 bytes.</summary>
    Q4_0 = 2,

    /// <summary>Blocks of 32 elements in 20 bytes.</summary>
    Q4_1 = 3,

    /// <summary>Blocks of 32 elements in 22 bytes.</summary>
    Q5_0 = 6,

    /// <summary>Blocks of 32 elements in 24 bytes.</summary>
    Q5_1 = 7,

    /// <summary>Blocks of 32 elements in 34 bytes.</summary>
    Q8_0 = 8,

    /// <summary>Blocks of 32 elements in 36 bytes; listed, not decoded.</summary>
    Q8_1 = 9,

    /// <summary>Blocks of 256 elements in 84 bytes.</summary>
    Q2_K = 10,

    /// <summary>Blocks of 256 elements in 110 bytes.</summary>
    Q3_K = 11,

    /// <summary>Blocks of 256 elements in 144 bytes.</summary>
    Q4_K = 12,

    /// <summary>Blocks of 256 elements in 176 bytes.</summary>
    Q5_K = 13,

    /// <summary>Blocks of 256 elements in 210 bytes.</summary>
    Q6_K = 14,

    /// <summary>Blocks of 256 elements in 292 bytes; listed, not decoded.</summary>
    Q8_K = 15,

    /// <summary>Blocks of 256 elements in 66 bytes.</summary>
    IQ2_XXS = 16,

    /// <summary>Blocks of 256 elements in 74 bytes.</summary>
    IQ2_XS = 17,

    /// <summary>Blocks of 256 elements in 98 bytes.</summary>
    IQ3_XXS = 18,

    /// <summary>Blocks of 256 elements in 50 bytes.</summary>
    IQ1_S = 19,

    /// <summary>Blocks of 32 elements in 18 bytes.</summary>
    IQ4_NL = 20,

    /// <summary>Blocks of 256 elements in 110 bytes.</summary>
    IQ3_S = 21,

    /// <summary>Blocks of 256 elements in 82 bytes.</summary>
    IQ2_S = 22,

    /// <summary>Blocks of 256 elements in 136 bytes.</summary>
    IQ4_XS = 23,

    /// <summary>Signed 8-bit integer.</summary>
    I8 = 24,

    /// <summary>Signed 16-bit integer.</summary>
    I16 = 25,

    /// <summary>Signed 32-bit integer.</summary>
    I32 = 26,

    /// <summary>Signed 64-bit integer.</summary>
    I64 = 27,

    /// <summary>IEEE 754 binary64.</summary>
    F64 = 28,

    /// <summary>Blocks of 256 elements in 56 bytes.</summary>
    IQ1_M = 29,

    /// <summary>bfloat16.</summary>
    BF16 = 30,

    /// <summary>Blocks of 256 elements in 54 bytes.</summary>
    TQ1_0 = 34,

    /// <summary>Blocks of 256 elements in 66 bytes.</summary>
    TQ2_0 = 35,

    /// <summary>Blocks of 32 elements in 17 bytes.</summary>
    MXFP4 = 39,

    /// <summary>Blocks of 64 elements in 36 bytes.</summary>
    NVFP4 = 40,

    /// <summary>Blocks of 128 elements in 18 bytes.</summary>
    Q1_0 = 41,

    /// <summary>Blocks of 64 elements in 18 bytes.</summary>
    Q2_0 = 42,
}
