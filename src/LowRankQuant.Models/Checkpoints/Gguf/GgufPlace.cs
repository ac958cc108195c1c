using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>Where a tensor of the model, or some rows of it, lie in a tensor of a GGUF file.</summary>
/// <param name="Tensor">That of the file.</param>
/// <param name="Part">That of the model.</param>
/// <param name="FirstRow">The row of the file's at which it begins; of a vector, its first element.</param>
internal sealed record GgufPlace(GgufStored Tensor, GgufPart Part, int FirstRow)
{
    /// <summary>All tensors of a model by their names, each with the places of its rows.</summary>
    public static Dictionary<string, IReadOnlyList<GgufPlace>> ByName(IReadOnlyList<GgufStored> stored)
    {
        var places = new Dictionary<string, List<GgufPlace>>(StringComparer.Ordinal);
        foreach (GgufStored tensor in stored)
        {
            int row = 0;
            foreach (GgufPart part in tensor.Parts)
            {
                if (!places.TryGetValue(part.Name, out List<GgufPlace>? known)) places[part.Name] = known = [];
                // An embedding that is the head too may be there twice.
                if (!known.Exists(place => place.Part.IsWhole)) known.Add(new GgufPlace(tensor, part, row));
                row += part.Count;
            }
        }
        return places.ToDictionary(pair => pair.Key, IReadOnlyList<GgufPlace> (pair) => pair.Value, StringComparer.Ordinal);
    }

    /// <summary>Reads what lies here into the whole of the model's tensor.</summary>
    /// <param name="file">The file.</param>
    /// <param name="destination">All elements of the model's tensor.</param>
    public void Read(GgufFile file, Span<float> destination)
    {
        int columns = Part.Columns;
        bool asIs = Part.Rows is null && Part.ColumnOrder is null && Part.Turned == 0;
        Span<float> values = asIs ? destination : new float[Part.Count * columns];
        file.ReadSingles(Tensor.Name, values, (long)FirstRow * columns);
        if (Part.Alters)
        {
            for (int i = 0; i < values.Length; i++) values[i] = Part.ToModel(values[i], file.Location, Tensor.Name);
        }
        if (asIs) return;
        int count = Part.Count;
        for (int i = 0; i < count; i++)
        {
            Span<float> row = destination.Slice((Part.Rows?[i] ?? i) * columns, columns);
            for (int column = 0; column < columns; column++) row[Part.ColumnOrder?[column] ?? column] = values[ElementOf(i, column)];
        }
    }

    /// <summary>The rows that lie here as a quantized weight, in the order of the file; null where they are no codes, or lie so that codes of the model's rows are none of its.</summary>
    /// <param name="file">The file.</param>
    public QuantizedWeight? ReadQuantized(GgufFile file)
    {
        if (Part.Turned > 0 || Part.Spec.Shape.Count != 2) return null;
        QuantizedWeight? weight = GgufBlockDecoder.Read(file, Tensor.Name, FirstRow, Part.Count);
        return weight is null || Part.ColumnOrder is not { } columns ? weight : weight.SelectColumns(RowOrders.Inverse(columns));
    }

    // Of a matrix that lies turned, columns are rows of the file.
    private int ElementOf(int row, int column)
    {
        int columns = Part.Columns, turned = Part.Turned;
        return turned == 0 ? (row * columns) + column : (row / turned * turned * columns) + (column * turned) + (row % turned);
    }
}
