using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;

namespace LowRankQuant.Models.Export;

/// <summary>Writes any checkpoint as a Hugging Face folder of plain floats: tensors, config.json, tokenizer.</summary>
public static class DenseExporter
{
    /// <summary>Writes the folder. Tensors go through memory one at a time; config.json is written last, so that half a folder cannot be opened.</summary>
    /// <param name="source">What to convert.</param>
    /// <param name="folder">Destination folder; created when missing.</param>
    /// <param name="type">F32, F16 or BF16.</param>
    /// <param name="shardSize">Largest file of tensors, bytes.</param>
    /// <param name="progress">Told how many tensors are written.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="CheckpointException">A tensor is unsound, or does not fit the range of the type.</exception>
    /// <exception cref="IOException">The folder holds a checkpoint or cannot be written.</exception>
    public static void Write(
        ICheckpoint source, string folder, SafetensorsType type, long shardSize, Action<int, int>? progress, CancellationToken cancellation)
    {
        int done = 0;
        List<PendingTensor> planned = Tensors(source, type);
        List<PendingTensor> tensors = PendingTensor.ReferenceOrder(planned.Select(tensor => tensor with
        {
            Write = sink =>
            {
                tensor.Write(sink);
                progress?.Invoke(++done, planned.Count);
            },
        }));
        SafetensorsFolderWriter.Write(folder, tensors, shardSize, cancellationToken: cancellation);
        source.CopySideFiles(folder);
        ModelConfigFile.Write(Path.Combine(folder, ModelConfigFile.Name), ModelConfigFile.For(source, type));
    }

    /// <summary>What is written: every tensor of the model in one type, and what is carried over as it is.</summary>
    public static List<PendingTensor> Tensors(ICheckpoint source, SafetensorsType type) =>
        [.. FolderForm.OfFloats(source).Tensors(source.TensorNames, type, name => source.Converted(name, type)).Select(source.Named), .. source.Carried];
}
