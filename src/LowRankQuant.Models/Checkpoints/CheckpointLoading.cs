using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Loading of checked tensors: the shape is as expected and every value is finite.</summary>
public static class CheckpointLoading
{
    /// <summary>Loads a tensor onto a device.</summary>
    /// <exception cref="CheckpointException">It is absent, has another shape, or holds NaN or infinity.</exception>
    public static Tensor Load(this ICheckpoint checkpoint, Device device, string name, params ReadOnlySpan<int> shape)
    {
        checkpoint.CheckShape(name, shape);
        // A number by itself becomes a vector of one.
        Tensor tensor = shape.IsEmpty ? device.Empty(1) : device.Empty(shape);
        try
        {
            // Checkpoints are read on the processor; a device with memory of its own gets a copy.
            unsafe
            {
                if (tensor.Storage.HostPointer != null)
                {
                    checkpoint.Read(name, tensor.Span);
                    CheckFinite(checkpoint, name, tensor.Span);
                    return tensor;
                }
            }
            var values = new float[tensor.Count];
            checkpoint.Read(name, values);
            CheckFinite(checkpoint, name, values);
            tensor.CopyFrom(values);
            return tensor;
        }
        catch
        {
            tensor.Dispose();
            throw;
        }
    }

    /// <summary>Looks whether a tensor is there in the shape asked for.</summary>
    /// <exception cref="CheckpointException">It is absent or has another shape.</exception>
    public static void CheckShape(this ICheckpoint checkpoint, string name, params ReadOnlySpan<int> shape)
    {
        IReadOnlyList<int> stored = checkpoint.ShapeOf(name);
        if (stored.SequenceEqual(shape.ToArray())) return;
        throw new CheckpointException(
            $"{checkpoint.Location}: tensor '{name}' has shape [{string.Join(", ", stored)}]; the configuration asks for [{string.Join(", ", shape.ToArray())}].");
    }

    /// <summary>The tokenizer; null where the model comes with none.</summary>
    /// <exception cref="Tokenizers.TokenizerException">It is unsound.</exception>
    public static Tokenizers.ITokenizer? FindTokenizer(this ICheckpoint checkpoint) => checkpoint.HasTokenizer ? checkpoint.LoadTokenizer() : null;

    /// <summary>A tensor for a writer, read and rounded to <paramref name="type"/> when its turn comes.</summary>
    /// <exception cref="CheckpointException">When written: a value does not fit the type.</exception>
    public static PendingTensor Converted(this ICheckpoint checkpoint, string name, SafetensorsType type)
    {
        IReadOnlyList<int> shape = checkpoint.ShapeOf(name);
        return new PendingTensor(name, type, [.. shape.Select(size => (long)size)], sink =>
        {
            sink.WriteSingles(checkpoint.ReadFor(name, type));
        });
    }

    /// <summary>Reads a tensor to be stored in a type, and looks whether every value fits it.</summary>
    /// <exception cref="CheckpointException">It is absent, or a value is not finite or beyond the range of the type.</exception>
    public static float[] ReadFor(this ICheckpoint checkpoint, string name, SafetensorsType type)
    {
        var values = new float[checkpoint.ShapeOf(name).Aggregate(1L, (product, size) => checked(product * size))];
        checkpoint.Read(name, values);
        CheckFinite(checkpoint, name, values);
        float largest = type == SafetensorsType.F16 ? 65504 : float.MaxValue;
        foreach (float value in values)
        {
            if (Math.Abs(value) > largest)
                throw new CheckpointException($"{checkpoint.Location}: tensor '{name}' holds {value}, which does not fit {type.HeaderName()} (at most {largest}); choose bf16 or fp32.");
        }
        return values;
    }

    private static void CheckFinite(ICheckpoint checkpoint, string name, ReadOnlySpan<float> values)
    {
        int bad = IndexOfNonFinite(values);
        if (bad >= 0) throw new CheckpointException($"{checkpoint.Location}: tensor '{name}' holds {values[bad]} at element {bad}; every value must be finite.");
    }

    private static int IndexOfNonFinite(ReadOnlySpan<float> values)
    {
        // x * 0 is 0 for finite x and NaN otherwise: one sum per run finds the run, and only then the element is looked for.
        const int run = 4096;
        for (int start = 0; start < values.Length; start += run)
        {
            ReadOnlySpan<float> part = values.Slice(start, Math.Min(run, values.Length - start));
            float sum = 0;
            foreach (float value in part) sum += value * 0f;
            if (sum == 0) continue;
            for (int i = 0; i < part.Length; i++)
            {
                if (!float.IsFinite(part[i])) return start + i;
            }
        }
        return -1;
    }
}
