using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Names in the folders that are made from a checkpoint, see <see cref="ICheckpoint.WrittenName"/>.</summary>
public static class FolderNames
{
    private const string Weight = ".weight";

    /// <summary>A tensor of the model under the name that a folder has it by.</summary>
    public static PendingTensor Named(this ICheckpoint checkpoint, PendingTensor tensor) => tensor with { Name = checkpoint.WrittenName(tensor.Name) };

    /// <summary>
    /// Modules beside the blocks' linears and the head whose weight is a matrix that stays in floats, as a folder names them: routers, towers and projectors. A loader that
    /// quantizes every linear but those that it is told to leave must be told of them.
    /// </summary>
    /// <param name="checkpoint">The source.</param>
    /// <param name="isKnown">Whether a module is a linear of the blocks or the head, which the caller speaks of.</param>
    public static IEnumerable<string> OtherMatrices(this ICheckpoint checkpoint, Func<string, bool> isKnown)
    {
        foreach (string name in checkpoint.TensorNames)
        {
            if (name == checkpoint.Architecture.EmbeddingName || !name.EndsWith(Weight, StringComparison.Ordinal) || isKnown(name[..^Weight.Length])) continue;
            if (checkpoint.ShapeOf(name).Count == 2) yield return checkpoint.WrittenName(name[..^Weight.Length]);
        }
        foreach (PendingTensor tensor in checkpoint.Carried)
        {
            if (tensor.Shape.Length == 2 && tensor.Name.EndsWith(Weight, StringComparison.Ordinal)) yield return tensor.Name[..^Weight.Length];
        }
    }
}
