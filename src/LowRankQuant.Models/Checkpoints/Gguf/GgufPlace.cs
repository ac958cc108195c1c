using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>Where a tensor of the model lies in a tensor of a GGUF file.</summary>
/// <param name="Tensor">That of the file.</param>
/// <param name="Part">That of the model.</param>
/// <param name="FirstRow">The row of the file's at which it begins; of a vector, its first element.</param>
internal sealed record GgufPlace(GgufStored Tensor, TensorSpec Part, int FirstRow)
{
    /// <summary>Rows, or elements of a vector.</summary>
    public int Rows => GgufStored.RowsOf(Part);

    /// <summary>Columns; 1 of a vector.</summary>
    public int Columns => Part.Shape.Count == 2 ? Part.Shape[1] : 1;

    /// <summary>All tensors of a model by their names.</summary>
    public static Dictionary<string, GgufPlace> ByName(IReadOnlyList<GgufStored> stored)
    {
        var places = new Dictionary<string, GgufPlace>(StringComparer.Ordinal);
        foreach (GgufStored tensor in stored)
        {
            int row = 0;
            foreach (TensorSpec part in tensor.Parts)
            {
                // An embedding that is the head too may be there twice.
                places.TryAdd(part.Name, new GgufPlace(tensor, part, row));
                row += GgufStored.RowsOf(part);
            }
        }
        return places;
    }
}
