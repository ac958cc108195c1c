namespace LowRankQuant.Formats.Gguf;

/// <summary>Block sizes of <see cref="GgmlType"/>.</summary>
public static class GgmlTypes
{
    /// <summary>Elements of a block and its bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The number is not a type of <see cref="GgmlType"/>.</exception>
    public static (int Elements, int Bytes) Block(this GgmlType type) => TryGetBlock(type, out (int Elements, int Bytes) block)
        ? block
        : throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown ggml type.");

    /// <summary>Elements of a block and its bytes; false for numbers that are no type, or a removed one.</summary>
    public static bool TryGetBlock(GgmlType type, out (int Elements, int Bytes) block)
    {
        block = type switch
        {
            GgmlType.F32 or GgmlType.I32 => (1, 4),
            GgmlType.F16 or GgmlType.I16 or GgmlType.BF16 => (1, 2),
            GgmlType.Q4_0 or GgmlType.IQ4_NL => (32, 18),
            GgmlType.Q4_1 => (32, 20),
            GgmlType.Q5_0 => (32, 22),
            GgmlType.Q5_1 => (32, 24),
            GgmlType.Q8_0 => (32, 34),
            GgmlType.Q8_1 => (32, 36),
            GgmlType.Q2_K => (256, 84),
            GgmlType.Q3_K or GgmlType.IQ3_S => (256, 110),
            GgmlType.Q4_K => (256, 144),
            GgmlType.Q5_K => (256, 176),
            GgmlType.Q6_K => (256, 210),
            GgmlType.Q8_K => (256, 292),
            GgmlType.IQ2_XXS or GgmlType.TQ2_0 => (256, 66),
            GgmlType.IQ2_XS => (256, 74),
            GgmlType.IQ3_XXS => (256, 98),
            GgmlType.IQ1_S => (256, 50),
            GgmlType.IQ2_S => (256, 82),
            GgmlType.IQ4_XS => (256, 136),
            GgmlType.I8 => (1, 1),
            GgmlType.I64 or GgmlType.F64 => (1, 8),
            GgmlType.IQ1_M => (256, 56),
            GgmlType.TQ1_0 => (256, 54),
            GgmlType.MXFP4 => (32, 17),
            GgmlType.NVFP4 => (64, 36),
            GgmlType.Q1_0 => (128, 18),
            GgmlType.Q2_0 => (64, 18),
            _ => default,
        };
        return block.Elements > 0;
    }
}
