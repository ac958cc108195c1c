using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Models.Checkpoints;

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
    /// <exception cref="CheckpointException">A tensor is unsound, or does not fit the range of fp16.</exception>
    /// <exception cref="IOException">The folder holds a checkpoint or cannot be written.</exception>
    public static void Write(
        ICheckpoint source, string folder, SafetensorsType type, long shardSize, Action<int, int>? progress, CancellationToken cancellation)
    {
        int done = 0, total = source.TensorNames.Count;
        List<PendingTensor> tensors = PendingTensor.ReferenceOrder(source.TensorNames.Select(name => new PendingTensor(
            name, type, [.. source.ShapeOf(name).Select(size => (long)size)], sink =>
            {
                sink.WriteSingles(Read(source, name, type));
                progress?.Invoke(++done, total);
            })));
        SafetensorsFolderWriter.Write(folder, tensors, shardSize, cancellationToken: cancellation);
        source.CopySideFiles(folder);
        ModelConfigFile.Write(Path.Combine(folder, ModelConfigFile.Name), ModelConfigFile.For(source, type));
    }

    /// <summary>Bytes that all tensors take in a type.</summary>
    public static long Bytes(ICheckpoint source, SafetensorsType type) =>
        source.TensorNames.Sum(name => source.ShapeOf(name).Aggregate((long)type.Size(), (product, size) => checked(product * size)));

    private static float[] Read(ICheckpoint source, string name, SafetensorsType type)
    {
        const float largestHalf = 65504;
        var values = new float[source.ShapeOf(name).Aggregate(1L, (product, size) => checked(product * size))];
        source.Read(name, values);
        foreach (float value in values)
        {
            if (!float.IsFinite(value)) throw new CheckpointException($"{source.Location}: tensor '{name}' holds {value}; every value must be finite.");
            if (type == SafetensorsType.F16 && Math.Abs(value) > largestHalf)
                throw new CheckpointException($"{source.Location}: tensor '{name}' holds {value}, beyond the range of fp16 (65504); choose bf16 or fp32.");
        }
        return values;
    }
}
