using System.Globalization;
using System.Runtime.InteropServices;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Safetensors;

/// <summary>Tensors that a layout needs: type and shape are checked before anything is allocated for them.</summary>
internal static class RequiredTensors
{
    /// <summary>Finds a tensor and checks its type and its number of dimensions.</summary>
    /// <exception cref="CheckpointFormatException">It is absent (<c>missing-tensor</c>), of another type (<c>dtype</c>) or rank (<c>size-mismatch</c>).</exception>
    public static TensorEntry Require(this ISafetensorsSource source, string name, int? rank, params ReadOnlySpan<SafetensorsType> types)
    {
        if (!source.Tensors.TryGetValue(name, out TensorEntry? entry))
            throw source.Refuse("missing-tensor", name, "the checkpoint lacks this tensor, which the scheme needs.");
        if (!types.Contains(entry.Type))
            throw source.Refuse("dtype", name, $"is {entry.Describe()}; expected {string.Join(" or ", types.ToArray())}.");
        if (rank is not null && entry.Shape.Length != rank)
            throw source.Refuse("size-mismatch", name, $"is {entry.Describe()}; expected {rank} dimensions.");
        return entry;
    }

    /// <summary>Finds a matrix of one shape.</summary>
    public static TensorEntry RequireMatrix(this ISafetensorsSource source, string name, long rows, long columns, string why, params ReadOnlySpan<SafetensorsType> types)
    {
        TensorEntry entry = source.Require(name, 2, types);
        if (entry.Shape[0] != rows || entry.Shape[1] != columns)
            throw source.Refuse("size-mismatch", name, $"is {entry.Describe()}; {why} takes [{rows}, {columns}].");
        return entry;
    }

    /// <summary>Checks that a matrix can be held in memory and that groups divide its rows.</summary>
    public static void CheckMatrix(this ISafetensorsSource source, string name, UniformGrid grid, long rows, long columns)
    {
        if (rows is < 1 or > int.MaxValue || columns is < 1 or > int.MaxValue || rows * columns > Array.MaxLength)
            throw source.Refuse("size-mismatch", name, $"a matrix of [{rows}, {columns}]; 1 to {Array.MaxLength} elements are read.");
        if (!grid.Divides((int)columns)) throw source.Refuse("group-size", name, $"groups of {grid.GroupSize} do not divide rows of {columns}.");
    }

    /// <summary>Reads all elements of a checked tensor as 32-bit words.</summary>
    public static uint[] ReadWords(this ISafetensorsSource source, TensorEntry entry)
    {
        var words = new uint[entry.ElementCount];
        if (entry.Type == SafetensorsType.U32) source.Read(entry.Name, words.AsSpan());
        else source.Read(entry.Name, MemoryMarshal.Cast<uint, int>(words.AsSpan()));
        return words;
    }

    /// <summary>Reads all elements of a checked tensor of scales: none may be zero, NaN or infinite.</summary>
    public static float[] ReadScales(this ISafetensorsSource source, TensorEntry entry)
    {
        float[] scales = source.ReadFinite(entry);
        int zero = scales.AsSpan().IndexOf(0f);
        return zero < 0 ? scales : throw source.Refuse("scale", entry.Name, $"element {zero} is 0; scales must be finite and not zero.");
    }

    /// <summary>Reads all elements of a checked tensor of floats: none may be NaN or infinite.</summary>
    public static float[] ReadFinite(this ISafetensorsSource source, TensorEntry entry)
    {
        var values = new float[entry.ElementCount];
        source.ReadSingles(entry.Name, values);
        for (int i = 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
                throw source.Refuse("scale", entry.Name, string.Create(CultureInfo.InvariantCulture, $"element {i} is {values[i]}; scales must be finite and not zero."));
        }
        return values;
    }

    /// <summary>The exception for a tensor that breaks a rule.</summary>
    public static CheckpointFormatException Refuse(this ISafetensorsSource source, string kind, string name, string message) =>
        new(kind, source.Location, name, message);
}
