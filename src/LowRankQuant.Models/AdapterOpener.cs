using LowRankQuant.Formats;
using LowRankQuant.Formats.Branches;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models;

/// <summary>Opens whatever adapter a path names: a folder with lrq's branch file, a PEFT folder, or a GGUF LoRA file.</summary>
public static class AdapterOpener
{
    private const string Supported = $"a folder with {BranchFile.FileName}, a PEFT folder, or a GGUF LoRA file";

    /// <summary>Whether a path names an adapter and no model.</summary>
    /// <exception cref="CheckpointFormatException">A GGUF file that breaks a rule of the format.</exception>
    public static bool IsAdapter(string path)
    {
        if (Directory.Exists(path)) return IsIn(path) && !File.Exists(Path.Combine(path, ModelConfigFile.Name));
        if (!File.Exists(path)) return false;
        if (Path.GetFileName(path) == BranchFile.FileName) return true;
        if (!CheckpointOpener.HasGgufMagic(path)) return false;
        using GgufFile file = GgufFile.Open(path);
        return GgufLoraAdapter.Is(file);
    }

    /// <summary>Opens an adapter.</summary>
    /// <param name="path">A folder with a branch file or a PEFT adapter, or a GGUF LoRA file.</param>
    /// <param name="model">The model that it belongs to.</param>
    /// <exception cref="CheckpointException">There is nothing at the path.</exception>
    /// <exception cref="UnsupportedModelException">A file of another kind.</exception>
    /// <exception cref="CheckpointFormatException">The adapter is unsound, or one of another architecture.</exception>
    public static ILowRankAdapter Open(string path, ICheckpoint model)
    {
        if (Directory.Exists(path)) return OpenFolder(path, model);
        if (!File.Exists(path)) throw new CheckpointException($"{path} does not exist; an adapter is {Supported}.");
        if (Formats.FileKind.Foreign(path) is { } foreign) throw new UnsupportedModelException($"{path} {foreign}");
        if (Path.GetFileName(path) == BranchFile.FileName) return OpenFolder(Path.GetDirectoryName(Path.GetFullPath(path))!, model);
        if (Path.GetFileName(path) is PeftAdapterWriter.ConfigFile or PeftAdapterWriter.TensorFile)
            throw new UnsupportedModelException($"{path} is one file of a PEFT folder; name the folder: {Path.GetDirectoryName(Path.GetFullPath(path))}.");
        return CheckpointOpener.HasGgufMagic(path)
            ? GgufLoraAdapter.Open(path, model)
            : throw new UnsupportedModelException($"{path} is not an adapter that lrq reads; an adapter is {Supported}.");
    }

    /// <summary>Whether a folder holds an adapter.</summary>
    internal static bool IsIn(string folder) => BranchFile.IsIn(folder) || IsPeft(folder);

    private static bool IsPeft(string folder) => File.Exists(Path.Combine(folder, PeftAdapterWriter.ConfigFile));

    // An adapter of a multimodal model's text model has the names of that model's files, and a PEFT adapter the linears that they hold.
    private static ILowRankAdapter OpenFolder(string folder, ICheckpoint model)
    {
        ILowRankAdapter adapter = OpenFolder(folder);
        if (model.Architecture.IsPart) adapter = new NamedAdapter(adapter, module => StandardNames.Of(module, model.Architecture));
        return IsPeft(folder) ? SplitAdapter.Of(adapter, FolderForm.OfFloats(model)) : adapter;
    }

    private static ILowRankAdapter OpenFolder(string folder)
    {
        if (!BranchFile.IsIn(folder)) return PeftAdapter.Open(folder);
        return IsPeft(folder)
            ? throw new CheckpointException($"{folder} holds {BranchFile.FileName} and {PeftAdapterWriter.ConfigFile}, two adapters; move one of them away.")
            : BranchFile.Open(folder);
    }
}
