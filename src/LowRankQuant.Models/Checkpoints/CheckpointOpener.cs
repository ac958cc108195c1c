using LowRankQuant.Formats;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Opens whatever model a path names, by what is there and not by what it is called alone.</summary>
public static class CheckpointOpener
{
    /// <summary>What can be opened, for messages.</summary>
    public const string Supported = "a Hugging Face folder (config.json and safetensors files), a folder that lrq wrote, or a .gguf file";

    /// <summary>Folder within a model's folder whose adapter is read together with the model.</summary>
    public const string AdapterFolder = "adapter";

    private static readonly string[] PickleExtensions = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];

    /// <summary>Opens a checkpoint.</summary>
    /// <param name="path">A folder or file.</param>
    /// <exception cref="CheckpointException">There is nothing at the path, or what is there is unsound.</exception>
    /// <exception cref="UnsupportedModelException">What is there is of a kind, architecture or type that is not supported.</exception>
    /// <param name="adapter">An adapter to put on the model; null for the one in the model's folder, if there is one.</param>
    public static ICheckpoint Open(string path, string? adapter = null)
    {
        ICheckpoint checkpoint = OpenBase(path);
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

    private static ICheckpoint OpenBase(string path)
    {
        if (Directory.Exists(path)) return OpenFolder(path);
        if (!File.Exists(path)) throw new CheckpointException($"{path} does not exist; a model is {Supported}.");
        if (HasGgufMagic(path) || path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase)) return GgufCheckpoint.Open(path);
        if (IsPickle(path)) throw Pickle(path);
        if (path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase) || Path.GetFileName(path) is "config.json" or "model.safetensors.index.json")
            throw new UnsupportedModelException($"{path} is one file of a Hugging Face folder; name the folder: {Path.GetDirectoryName(Path.GetFullPath(path))}.");
        throw new UnsupportedModelException($"{path} is not a model that lrq reads; a model is {Supported}.");
    }

    private static HuggingFaceCheckpoint OpenFolder(string folder)
    {
        string[] names = [.. Directory.EnumerateFiles(folder).Select(file => Path.GetFileName(file)!).Order(StringComparer.Ordinal)];
        bool safetensors = names.Any(name => name.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase));
        if (!safetensors && names.FirstOrDefault(IsModelPickle) is { } pickle) throw Pickle(Path.Combine(folder, pickle));
        if (names.Contains("config.json")) return HuggingFaceCheckpoint.Open(folder);
        if (names.FirstOrDefault(name => name.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase)) is { } gguf)
            throw new CheckpointException($"{folder} holds no config.json; for the GGUF file in it name the file: {Path.Combine(folder, gguf)}.");
        if (AdapterOpener.IsIn(folder)) throw AdapterAlone(folder);
        throw new CheckpointException($"{folder} holds no config.json; a model is {Supported}.");
    }

    /// <summary>The exception for an adapter where a model is asked for.</summary>
    internal static UnsupportedModelException AdapterAlone(string path) =>
        new($"{path} holds an adapter and no model; name its model, and the adapter by --adapter of lrq eval.");

    private static bool IsPickle(string path) => PickleExtensions.Contains(Path.GetExtension(path).ToLowerInvariant());

    // A folder may hold other .bin files (training arguments, optimizer states) that do not matter.
    private static bool IsModelPickle(string name) => IsPickle(name) &&
        (name.StartsWith("pytorch_model", StringComparison.Ordinal) || name.StartsWith("model", StringComparison.Ordinal) ||
         name.StartsWith("consolidated", StringComparison.Ordinal));

    private static UnsupportedModelException Pickle(string path) => new(
        $"{path} is a PyTorch pickle, which can run code when it is read and is not supported. Convert the model to safetensors first " +
        "(in Python: AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder, safe_serialization=True)), or take the safetensors files of its page.");

    /// <summary>Whether a file begins as GGUF files do.</summary>
    internal static bool HasGgufMagic(string path)
    {
        Span<byte> magic = stackalloc byte[4];
        using FileStream stream = File.OpenRead(path);
        return stream.ReadAtLeast(magic, 4, throwOnEndOfStream: false) == 4 && magic.SequenceEqual("GGUF"u8);
    }
}
