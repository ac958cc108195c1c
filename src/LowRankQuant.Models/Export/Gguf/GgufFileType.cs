using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>
/// <c>general.file_type</c>: which type most linear weights have. Engines show it and decide nothing by it. Source: ggml-org/llama.cpp,
/// include/llama.h, enum llama_ftype.
/// </summary>
internal static class GgufFileType
{
    /// <summary>The number for a file whose linear weights are mostly of a type.</summary>
    public static uint For(GgmlType type) => type switch
    {
        GgmlType.F32 => 0,
        GgmlType.F16 => 1,
        GgmlType.Q4_0 => 2,
        GgmlType.Q4_1 => 3,
        GgmlType.Q8_0 => 7,
        GgmlType.Q5_0 => 8,
        GgmlType.Q5_1 => 9,
        GgmlType.Q2_K => 10,
        GgmlType.Q3_K => 11,
        GgmlType.Q4_K => 14,
        GgmlType.Q5_K => 16,
        GgmlType.Q6_K => 18,
        GgmlType.IQ2_XXS => 19,
        GgmlType.IQ2_XS => 20,
        GgmlType.IQ3_XXS => 23,
        GgmlType.IQ1_S => 24,
        GgmlType.IQ4_NL => 25,
        GgmlType.IQ3_S => 26,
        GgmlType.IQ2_S => 28,
        GgmlType.IQ4_XS => 30,
        GgmlType.IQ1_M => 31,
        GgmlType.BF16 => 32,
        GgmlType.TQ1_0 => 36,
        GgmlType.TQ2_0 => 37,
        GgmlType.MXFP4 => 38,
        GgmlType.NVFP4 => 39,
        GgmlType.Q1_0 => 40,
        GgmlType.Q2_0 => 41,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "No file type stands for it."),
    };
}
