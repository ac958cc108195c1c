namespace LowRankQuant.Numerics.Quantized;

/// <summary>The type in which a scale is stored in a file. Arithmetic is always done in 32-bit floats on the value as stored.</summary>
public enum ScaleType
{
    /// <summary>IEEE 754 binary32.</summary>
    Float32,

    /// <summary>IEEE 754 binary16.</summary>
    Float16,

    /// <summary>bfloat16: the upper half of a binary32.</summary>
    BFloat16,
}
