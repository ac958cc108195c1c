using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Safetensors;

/// <summary>Scale types and the safetensors types that store them.</summary>
public static class ScaleTypes
{
    /// <summary>The three types that scales are stored in.</summary>
    internal static ReadOnlySpan<SafetensorsType> Stored => [SafetensorsType.F32, SafetensorsType.F16, SafetensorsType.BF16];

    /// <summary>The stored type of scales.</summary>
    public static SafetensorsType ToSafetensors(this ScaleType type) => type switch
    {
        ScaleType.Float32 => SafetensorsType.F32,
        ScaleType.Float16 => SafetensorsType.F16,
        ScaleType.BFloat16 => SafetensorsType.BF16,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown scale type."),
    };

    /// <summary>The scale type of F32, F16 and BF16.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Another type.</exception>
    public static ScaleType ToScaleType(this SafetensorsType type) => type switch
    {
        SafetensorsType.F32 => ScaleType.Float32,
        SafetensorsType.F16 => ScaleType.Float16,
        SafetensorsType.BF16 => ScaleType.BFloat16,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Scales are F32, F16 or BF16."),
    };
}
