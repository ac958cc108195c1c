namespace LowRankQuant.Formats.Gguf;

/// <summary>Types of metadata values, with their numbers in the file. Source: ggml-org/ggml, docs/gguf.md.</summary>
public enum GgufValueType
{
    /// <summary>Unsigned 8-bit integer (.NET byte).</summary>
    UInt8 = 0,

    /// <summary>Signed 8-bit integer (sbyte).</summary>
    Int8 = 1,

    /// <summary>Unsigned 16-bit integer (ushort).</summary>
    UInt16 = 2,

    /// <summary>Signed 16-bit integer (short).</summary>
    Int16 = 3,

    /// <summary>Unsigned 32-bit integer (uint).</summary>
    UInt32 = 4,

    /// <summary>Signed 32-bit integer (int).</summary>
    Int32 = 5,

    /// <summary>IEEE 754 binary32 (float).</summary>
    Float32 = 6,

    /// <summary>One byte, 0 or 1 (bool).</summary>
    Bool = 7,

    /// <summary>UTF-8 string.</summary>
    String = 8,

    /// <summary>Array of one of the other types; arrays of arrays are refused, as ggml does.</summary>
    Array = 9,

    /// <summary>Unsigned 64-bit integer (ulong).</summary>
    UInt64 = 10,

    /// <summary>Signed 64-bit integer (long).</summary>
    Int64 = 11,

    /// <summary>IEEE 754 binary64 (double).</summary>
    Float64 = 12,
}
