namespace LowRankQuant.Formats.Gguf;

/// <summary>One metadata value with its type.</summary>
/// <param name="Type">Type in the file.</param>
/// <param name="ElementType">Type of the elements when <paramref name="Type"/> is an array, otherwise <paramref name="Type"/>.</param>
/// <param name="Value">The .NET value of the type, or an array of them (string[], float[], bool[], ...). Do not change the array.</param>
public sealed record GgufValue(GgufValueType Type, GgufValueType ElementType, object Value);
