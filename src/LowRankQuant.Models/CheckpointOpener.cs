using LowRankQuant.Formats;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models;

/// <summary>Opens whatever model a path names, by what is there and not by what it is called alone.</summary>
public static class CheckpointOpener
{
    /// <summary>What can be opened, for messages.</summary>
    public const string Supported = "a Hugging Face folder (config.json and safetensors files), a folder that lrq wrote, or a .gguf file";

    /// <summary>Folder within a model's folder whose adapter is read together with the model.</summary>
    public const string AdapterFolder = "adapter";

    /// <summary>Opens a checkpoint.</summary>
    /// <param name="path">A folder or file.</param>
    /// <exception cref="CheckpointException">There is nothing at the path, or what is there is unsound.</exception>
    /// <exception cref="UnsupportedModelException">What is there is of a kind, architecture or type that is not supported.</exception>
    /// <param name="adapter">An adapter to put on the model; null for the one in the model's folder, if there is one.</param>
    /// <param name="use">What is done with it.</param>
    public static ICheckpoint Open(string path, string? adapter = null, ModelUse use = ModelUse.Any)
    {
        ICheckpoint checkpoint = OpenBase(path, use);
        string own = Path.Combine(path, AdapterFolder);
        if (adapter is null && !AdapterOpener.IsIn(own)) return checkpoint;
        ILowRankAdapter? branches = null;
        try
        {
            branches = AdapterOpener.Open(adapter ?? own, checkpoint);
            return new AdaptedCheckpoint(checkpoint, branches);
        }
        catch
        {
            checkpoint.Dispose();
            branches?.Dispose();
            throw;
        }
    }

    private static ICheckpoint OpenBase(string path, ModelUse use)
    {
        if (Directory.Exists(path)) return OpenFolder(path, use);
        if (!File.Exists(path)) throw new CheckpointException($"{path} does not exist; a model is {Supported}.{ForeignModels.HubHint(path)}");
        if (ForeignModels.Describe(path) is { } other) throw new UnsupportedModelException($"{path} {other}");
        if (HasGgufMagic(path) || path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase)) return GgufCheckpoint.Open(path);
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (Path.GetFileName(path).StartsWith("adapter_model", StringComparison.Ordinal)) throw ForeignModels.AdapterAlone(path);
        if (IsTensors(path) || Path.GetFileName(path) == ModelConfigFile.Name)
            throw new UnsupportedModelException($"{path} is one file of a Hugging Face folder; name the folder: {folder}.");
        throw new UnsupportedModelException($"{path} is not a model that lrq reads; a model is {Supported}.");
    }

    private static HuggingFaceCheckpoint OpenFolder(string folder, ModelUse use)
    {
        string[] names = [.. Directory.EnumerateFiles(folder).Select(file => Path.GetFileName(file)!).Order(StringComparer.Ordinal)];
        bool safetensors = names.Any(IsTensors);
        if (names.Contains(ModelConfigFile.Name) && safetensors) return HuggingFaceCheckpoint.Open(folder, use);
        if (!safetensors)
        {
            foreach (string name in names)
            {
                string file = Path.Combine(folder, name);
                if (ForeignModels.IsModel(name) && ForeignModels.Describe(file) is { } other) throw new UnsupportedModelException($"{file} {other}");
            }
        }
        if (names.FirstOrDefault(name => name.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase)) is { } gguf)
            throw new CheckpointException($"{folder} is no Hugging Face folder; for the GGUF file in it name the file: {Path.Combine(folder, gguf)}.");
        if (names.Contains(ModelConfigFile.Name)) return HuggingFaceCheckpoint.Open(folder, use);
        if (AdapterOpener.IsIn(folder)) throw ForeignModels.AdapterAlone(folder);
        string what = names.Length == 0 ? "holds no files" : "holds no config.json";
        throw new CheckpointException($"{folder} {what}; a model is {Supported}.{ForeignModels.NestedHint(folder)}");
    }

    private static bool IsTensors(string name) =>
        name.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase) || name.EndsWith(".safetensors.index.json", StringComparison.OrdinalIgnoreCase);

    /// <summary>Whether a file begins as GGUF files do.</summary>
    internal static bool HasGgufMagic(string path)
    {
        Span<byte> magic = stackalloc byte[4];
        using FileStream stream = File.OpenRead(path);
        return stream.ReadAtLeast(magic, 4, throwOnEndOfStream: false) == 4 && magic.SequenceEqual("GGUF"u8);
    }
}
