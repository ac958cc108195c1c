namespace LowRankQuant.Formats.Safetensors;

/// <summary>
/// Element types of safetensors. The order is that of the reference library, which writes tensors by descending type and then by name.
/// Source: huggingface/safetensors, safetensors/src/tensor.rs. Types of less than a byte (F4, F6) are not supported.
/// </summary>
public enum SafetensorsType
{
    /// <summary>One byte, 0 or 1.</summary>
    Bool,

    /// <summary>Unsigned 8-bit integer.</summary>
    U8,

    /// <summary>Signed 8-bit integer.</summary>
    I8,

    /// <summary>8-bit float, 5 exponent bits.</summary>
    F8E5M2,

    /// <summary>8-bit float, 4 exponent bits, largest value 448, no infinities.</summary>
    F8E4M3,

    /// <summary>8-bit exponent without sign or mantissa.</summary>
    F8E8M0,

    /// <summary>Signed 16-bit integer.</summary>
    I16,

    /// <summary>Unsigned 16-bit integer.</summary>
    U16,

    /// <summary>IEEE 754 binary16.</summary>
    F16,

    /// <summary>bfloat16.</summary>
    BF16,

    /// <summary>Signed 32-bit integer.</summary>
    I32,

    /// <summary>Unsigned 32-bit integer.</summary>
    U32,

    /// <summary>IEEE 754 binary32.</summary>
    F32,

    /// <summary>Two binary32: real and imaginary part.</summary>
    C64,

    /// <summary>IEEE 754 binary64.</summary>
    F64,

    /// <summary>Signed 64-bit integer.</summary>
    I64,

    /// <summary>Unsigned 64-bit integer.</summary>
    U64,
}

/// <summary>Names and sizes of <see cref="SafetensorsType"/>.</summary>
public static class SafetensorsTypes
{
    /// <summary>Bytes of one element.</summary>
    public static int Size(this SafetensorsType type) => type switch
    {
        SafetensorsType.Bool or SafetensorsType.U8 or SafetensorsType.I8 => 1,
        SafetensorsType.F8E5M2 or SafetensorsType.F8E4M3 or SafetensorsType.F8E8M0 => 1,
        SafetensorsType.I16 or SafetensorsType.U16 or SafetensorsType.F16 or SafetensorsType.BF16 => 2,
        SafetensorsType.I32 or SafetensorsType.U32 or SafetensorsType.F32 => 4,
        SafetensorsType.C64 or SafetensorsType.F64 or SafetensorsType.I64 or SafetensorsType.U64 => 8,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown safetensors type."),
    };

    /// <summary>The name written in a header, such as <c>BF16</c> or <c>F8_E4M3</c>.</summary>
    public static string HeaderName(this SafetensorsType type) => type switch
    {
        SafetensorsType.Bool => "BOOL",
        SafetensorsType.F8E5M2 => "F8_E5M2",
        SafetensorsType.F8E4M3 => "F8_E4M3",
        SafetensorsType.F8E8M0 => "F8_E8M0",
        _ => type.ToString(),
    };

    /// <summary>Finds the type of a header name; case matters.</summary>
    public static bool TryParse(string name, out SafetensorsType type)
    {
        foreach (SafetensorsType candidate in Enum.GetValues<SafetensorsType>())
        {
            if (candidate.HeaderName() != name) continue;
            type = candidate;
            return true;
        }
        type = default;
        return false;
    }
}
