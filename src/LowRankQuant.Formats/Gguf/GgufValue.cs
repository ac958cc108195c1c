namespace LowRankQuant.Formats.Gguf;

/// <summary>One metadata value with its type.</summary>
/// <param name="Type">Type in the file.</param>
/// <param name="ElementType">Type of the elements when <paramref name="Type"/> is an array, otherwise <paramref name="Type"/>.</param>
/// <param name="Value">The .NET value of the type, or an array of them (string[], float[], bool[], ...). Do not change the array.</param>
public sealed record GgufValue(GgufValueType Type, GgufValueType ElementType, object Value)
{
    /// <summary>The value whose type in the file follows from its .NET type: byte to ulong, float, double, bool, string, or an array of one of them.</summary>
    /// <exception cref="ArgumentException">The file format has no such type; arrays of arrays are none.</exception>
    public static GgufValue Of(object value)
    {
        Type type = value.GetType();
        return type.IsArray
            ? new GgufValue(GgufValueType.Array, TypeOf(type.GetElementType()!), value)
            : new GgufValue(TypeOf(type), TypeOf(type), value);
    }

    private static GgufValueType TypeOf(Type type)
    {
        if (type == typeof(string)) return GgufValueType.String;
        if (type == typeof(bool)) return GgufValueType.Bool;
        if (type == typeof(byte)) return GgufValueType.UInt8;
        if (type == typeof(sbyte)) return GgufValueType.Int8;
        if (type == typeof(ushort)) return GgufValueType.UInt16;
        if (type == typeof(short)) return GgufValueType.Int16;
        if (type == typeof(uint)) return GgufValueType.UInt32;
        if (type == typeof(int)) return GgufValueType.Int32;
        if (type == typeof(ulong)) return GgufValueType.UInt64;
        if (type == typeof(long)) return GgufValueType.Int64;
        if (type == typeof(float)) return GgufValueType.Float32;
        if (type == typeof(double)) return GgufValueType.Float64;
        throw new ArgumentException($"{type.Name} is no type of GGUF metadata.", nameof(type));
    }
}
