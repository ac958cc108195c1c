using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Peft;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Opens whatever adapter a path names: a PEFT folder or a GGUF LoRA file.</summary>
public static class AdapterOpener
{
    /// <summary>Whether a path names an adapter and no model.</summary>
    /// <exception cref="CheckpointFormatException">A GGUF file that breaks a rule of the format.</exception>
    public static bool IsAdapter(string path)
    {
        if (Directory.Exists(path)) return IsPeft(path) && !File.Exists(Path.Combine(path, ModelConfigFile.Name));
        if (!File.Exists(path) || !CheckpointOpener.HasGgufMagic(path)) return false;
        using GgufFile file = GgufFile.Open(path);
        return GgufLoraAdapter.Is(file);
    }

    /// <summary>Opens an adapter.</summary>
    /// <param name="path">A PEFT folder or a GGUF LoRA file.</param>
    /// <param name="model">The model that it belongs to.</param>
    /// <exception cref="CheckpointException">There is nothing at the path.</exception>
    /// <exception cref="UnsupportedModelException">A file of another kind.</exception>
    /// <exception cref="CheckpointFormatException">The adapter is unsound, or one of another architecture.</exception>
    public static ILowRankAdapter Open(string path, ICheckpoint model)
    {
        if (Directory.Exists(path)) return PeftAdapter.Open(path);
        if (!File.Exists(path)) throw new CheckpointException($"{path} does not exist; an adapter is a PEFT folder or a GGUF LoRA file.");
        if (Formats.FileKind.Foreign(path) is { } foreign) throw new UnsupportedModelException($"{path} {foreign}");
        if (Path.GetFileName(path) is PeftAdapterWriter.ConfigFile or PeftAdapterWriter.TensorFile)
            throw new UnsupportedModelException($"{path} is one file of a PEFT folder; name the folder: {Path.GetDirectoryName(Path.GetFullPath(path))}.");
        return CheckpointOpener.HasGgufMagic(path)
            ? GgufLoraAdapter.Open(path, model.Config)
            : throw new UnsupportedModelException($"{path} is not an adapter that lrq reads; an adapter is a PEFT folder or a GGUF LoRA file.");
    }

    /// <summary>Whether a folder holds a PEFT adapter.</summary>
    internal static bool IsPeft(string folder) => File.Exists(Path.Combine(folder, PeftAdapterWriter.ConfigFile));
}
