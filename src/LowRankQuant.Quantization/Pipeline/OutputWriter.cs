using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Affine;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.TwoLevel;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>Assembles the output folder from the finished blocks and the source, one tensor in memory at a time. config.json comes last.</summary>
/// <param name="model">The source.</param>
/// <param name="recipe">What was done.</param>
/// <param name="folder">The run.</param>
/// <param name="store">Reads the finished blocks.</param>
public sealed class OutputWriter(CausalModel model, Recipe recipe, RunFolder folder, CompressedBlockStore store)
{
    /// <summary>What the recipe's file says of texts.</summary>
    public RecipeTexts Texts { get; init; } = new();

    private const string Weight = ".weight";
    private readonly FolderForm _form = FolderForm.Of(model.Checkpoint);
    private readonly ActivationTensors _activations = new(model, recipe, folder, store);
    private readonly HashSet<string> _kept = [.. model.Layout.KeptModules.Select(linear => linear.Name)];
    private readonly VocabularyStore? _vocabulary = VocabularyStore.Of(model, recipe, folder, store);

    /// <summary>
    /// Writes a compressed-tensors checkpoint, or one of our own kind where there are float minima or two-level grids: the block files' tensors as they are, everything
    /// else in the type of the scales. Low-rank branches go to a folder within it, <see cref="CheckpointOpener.AdapterFolder"/>, in the form asked for.
    /// </summary>
    public void WriteCompressed(long shardSize, AdapterForm form, CancellationToken cancellation)
    {
        WriteAdapter(form);
        // Loaders cast scales to the model's type, so the two must be the same.
        SafetensorsType type = recipe.ScaleType.ToSafetensors();
        JsonObject config = ModelConfigFile.For(model.Checkpoint, type);
        config["quantization_config"] = QuantizationConfig();
        Write(type, shardSize, config, CompressedTensors, cancellation);
    }

    /// <summary>
    /// Writes the dequantized weights as an ordinary checkpoint in fp16, whatever the type of the scales: the product of a code and a scale has more
    /// digits than bf16 keeps.
    /// </summary>
    public void WriteDense(long shardSize, CancellationToken cancellation)
    {
        const SafetensorsType type = SafetensorsType.F16;
        Write(type, shardSize, ModelConfigFile.For(model.Checkpoint, type), null, cancellation);
    }

    // The block file's tensors as they are; linears that the family stores together are packed as one.
    private List<PendingTensor> CompressedTensors(SafetensorsFile file, int index)
    {
        if (recipe.Activations is not null) return [.. _activations.Linears(file, index, Joined), .. _activations.Caches(index)];
        HashSet<string> joined = new(StringComparer.Ordinal);
        var tensors = new List<PendingTensor>();
        foreach (FusedModule module in model.LinearsOf(index).Select(linear => _form.FusedOf($"{model.BlockName(index)}.{linear.Name}")).OfType<FusedModule>().Distinct())
        {
            if (GridOf(module) is null) continue;
            joined.UnionWith(module.Parts.Select(part => part.Module));
            // Shapes now, codes when their turn comes.
            tensors.AddRange(store.Tensors([(module.Name, Joined(file, module))]).Select(piece => piece with
            {
                Write = sink => store.Tensors([(module.Name, Joined(file, module))]).First(again => again.Name == piece.Name).Write(sink),
            }));
        }
        tensors.AddRange(file.Names.Where(name => IsBase(name) && !joined.Contains(name[..name.LastIndexOf('.')])).Select(name => PendingTensor.Copy(file, name)));
        return [.. tensors, .. _activations.Caches(index)];
    }

    private QuantizedWeight Joined(SafetensorsFile file, FusedModule module) => module.Join([.. module.Parts.Select(part =>
    {
        (string block, string linear) = Divide(part.Module);
        return store.ReadOne(file, block, linear).WithBranch(null);
    })]) ?? throw new InvalidOperationException($"The parts of '{module.Name}' have one grid and do not join.");

    private float[] Dequantized(IReadOnlyList<SafetensorsFile> files, string tensor)
    {
        QuantizedWeight weight = Stored(files, tensor[..^Weight.Length]);
        var values = new float[weight.Codes.Length];
        weight.Reconstruct(values);
        return values;
    }

    private QuantizedWeight Stored(IReadOnlyList<SafetensorsFile> files, string module)
    {
        if (model.Architecture.BlockOf(module) is not { } index) return _vocabulary!.Read(Vocabulary.First(matrix => matrix.Module == module).Part);
        (string block, string linear) = Divide(module);
        return store.ReadOne(files[index], block, linear);
    }

    // Embedding and head where they are quantized.
    private IEnumerable<(VocabularyPart Part, string Module)> Vocabulary => _vocabulary?.Recipe.Parts.Select(part => (part, _vocabulary.ModuleOf(part))) ?? [];

    // Parts that have grids of their own stay apart, and are read so.
    // The grid of a stored linear; null where its parts have several, or scales that all rows share, or where one stays in its own type.
    private WeightGrid? GridOf(FusedModule module)
    {
        if (module.Parts.Any(part => _kept.Contains(part.Module))) return null;
        WeightGrid[] grids = [.. module.Parts.Select(part => Divide(part.Module)).Select(part => store.GridOf(part.Block, part.Linear)).Distinct()];
        return grids is [{ SharesScalesBetweenRows: false } one] ? one : null;
    }

    private (string Block, string Linear) Divide(string module)
    {
        string block = model.BlockName(model.Architecture.BlockOf(module)!.Value);
        return (block, module[(block.Length + 1)..]);
    }

    private JsonObject QuantizationConfig()
    {
        var others = new List<QuantizedModule>();
        var twoLevel = new List<(string Module, string Grid)>();
        var affine = new List<(string Module, AffineGrid Grid)>();
        for (int i = 0; i < model.Config.Layers; i++)
        {
            foreach ((string linear, _, _) in model.LinearsOf(i))
            {
                string module = $"{model.BlockName(i)}.{linear}";
                WeightGrid grid = store.GridOf(model.BlockName(i), linear);
                if (_form.FusedOf(module) is { } whole && GridOf(whole) is not null)
                {
                    if (whole.Parts[0].Module != module) continue;
                    module = whole.Name;
                }
                Add(module, grid, isTable: false);
            }
        }
        foreach ((VocabularyPart part, string module) in Vocabulary) Add(module, _vocabulary!.Recipe.GridOf(part).ToGrid(), part == VocabularyPart.Embedding);
        string head = model.HeadName[..^Weight.Length];
        string[] chosen = [.. model.Layout.KeptModules.Where(linear => !linear.KeptByDefault).Select(linear => linear.Name)];
        HashSet<string> known = [.. model.Modules.Select(module => module.Name), .. chosen, head];
        IEnumerable<string> heads = Vocabulary.Any(matrix => matrix.Module == head) ? [] : [model.Checkpoint.WrittenName(head)];
        string[] ignore = [.. heads.Concat(chosen.Select(KeptName)).Concat(model.Checkpoint.OtherMatrices(known.Contains)).Distinct(StringComparer.Ordinal)];
        if (affine.Count == 0) return Others(ignore);
        return AffineConfig.Build(affine, twoLevel.Count + others.Count == 0 ? null : Others([.. ignore, .. affine.Select(module => module.Module)]));

        JsonObject Others(string[] floats) => twoLevel.Count == 0
            ? CompressedTensorsWriter.BuildConfig(others, floats, kvCache: ActivationTensors.CacheArgs(recipe.Cache))
            : TwoLevelConfig.Build(twoLevel, others, floats, ActivationTensors.CacheArgs(recipe.Cache));

        void Add(string module, WeightGrid grid, bool isTable)
        {
            string own = module;
            module = model.Checkpoint.WrittenName(module);
            if (grid is AffineGrid minima) affine.Add((module, minima));
            else if (grid is TwoLevelGrid native) twoLevel.Add((module, native.Name));
            else others.Add(isTable || !_activations.Has(own) ? new QuantizedModule(module, grid) { IsTable = isTable } : _activations.Described(module, own, grid));
        }
    }

    // Of what the family stores together all or none is one stored matrix.
    private string KeptName(string module) =>
        model.Checkpoint.WrittenName(_form.FusedOf(module) is { } fused && fused.Parts.All(part => _kept.Contains(part.Module)) ? fused.Name : module);

    private void WriteAdapter(AdapterForm form)
    {
        IReadOnlyList<SafetensorsFile> files = SafetensorsFile.OpenAll(Enumerable.Range(0, model.Config.Layers).Select(folder.ResultFile));
        try
        {
            var modules = new List<AdapterModule>();
            for (int i = 0; i < model.Config.Layers; i++)
            {
                SafetensorsFile file = files[i];
                foreach ((string linear, int outFeatures, int inFeatures) in model.LinearsOf(i))
                {
                    string name = $"{model.BlockName(i)}.{linear}";
                    modules.Add(new AdapterModule(
                        name, outFeatures, inFeatures, CompressedBlockStore.RankOf(file, name),
                        () => CompressedBlockStore.Factor(file, name + CompressedBlockStore.FactorA),
                        () => CompressedBlockStore.Factor(file, name + CompressedBlockStore.FactorB)));
                }
            }
            // PEFT knows the linears of the source's library alone.
            if (form != AdapterForm.Codes) modules = FusedBranches.Join(modules, name => _form.FusedOf(name) is { } whole && GridOf(whole) is not null ? whole : null);
            modules = [.. modules.Select(module => module with { Module = model.Checkpoint.WrittenName(module.Module) })];
            AdapterOutput.Write(Path.Combine(folder.Output, CheckpointOpener.AdapterFolder), modules, form, null, "..", recipe.FactorBits);
        }
        finally
        {
            foreach (SafetensorsFile file in files) file.Dispose();
        }
    }

    private static bool IsBase(string tensor) =>
        !tensor.EndsWith(CompressedBlockStore.FactorA, StringComparison.Ordinal) && !tensor.EndsWith(CompressedBlockStore.FactorB, StringComparison.Ordinal);

    private void Write(
        SafetensorsType type, long shardSize, JsonObject config, Func<SafetensorsFile, int, IReadOnlyList<PendingTensor>>? blockTensors,
        CancellationToken cancellation)
    {
        ICheckpoint source = model.Checkpoint;
        var quantized = model.Modules.Select(module => module.Name).Concat(Vocabulary.Select(matrix => matrix.Module)).Select(module => module + Weight).ToHashSet(StringComparer.Ordinal);
        int layers = model.Config.Layers;
        IReadOnlyList<SafetensorsFile> files = SafetensorsFile.OpenAll(
            [.. Enumerable.Range(0, layers).Select(folder.ResultFile), .. Vocabulary.Select(matrix => _vocabulary!.FileOf(matrix.Part))]);
        try
        {
            var tensors = new List<PendingTensor>();
            if (blockTensors is not null)
            {
                for (int i = 0; i < layers; i++) tensors.AddRange(blockTensors(files[i], i));
                foreach (SafetensorsFile file in files.Skip(layers)) tensors.AddRange(file.Names.Select(name => PendingTensor.Copy(file, name)));
            }
            if (blockTensors is null)
            {
                float[] Read(string name) => quantized.Contains(name) ? Dequantized(files, name) : source.ReadFor(name, type);
                tensors.AddRange(_form.Tensors(
                    source.TensorNames, type,
                    name => quantized.Contains(name)
                        ? new PendingTensor(name, type, [.. source.ShapeOf(name).Select(size => (long)size)], sink => sink.WriteSingles(Read(name)))
                        : source.Store(name, source.OwnTypeOf(name) ?? type),
                    Read));
            }
            else tensors.AddRange(_form.Tensors(source.TensorNames.Where(name => !quantized.Contains(name)), type, name => source.Store(name, source.OwnTypeOf(name) ?? type)));
            tensors = [.. tensors.Select(source.Named), .. source.Carried];
            SafetensorsFolderWriter.Write(folder.Output, PendingTensor.ReferenceOrder(tensors), shardSize, overwrite: true, cancellationToken: cancellation);
        }
        finally
        {
            foreach (SafetensorsFile file in files) file.Dispose();
        }
        CopySideFiles();
        AtomicFile.WriteAllText(Path.Combine(folder.Output, RunFolder.RecipeName), RecipeFile.Text(recipe, Texts));
        AtomicFile.WriteAllText(Path.Combine(folder.Output, "config.json"), config.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
    }

    // Among the working files first, so that none of them is ever in the result in parts.
    private void CopySideFiles()
    {
        string aside = Path.Combine(folder.Work, "side");
        Directory.CreateDirectory(aside);
        try
        {
            model.Checkpoint.CopySideFiles(aside);
            foreach (string file in Directory.GetFiles(aside)) File.Move(file, Path.Combine(folder.Output, Path.GetFileName(file)), overwrite: true);
        }
        finally
        {
            Directory.Delete(aside, recursive: true);
        }
    }

    /// <summary>SHA-256 over the result's tensor files, in name order.</summary>
    public static string HashOf(string output)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[1 << 20];
        foreach (string path in Tensors(output).Order(StringComparer.Ordinal))
        {
            using FileStream stream = File.OpenRead(path);
            for (int read = stream.Read(buffer); read > 0; read = stream.Read(buffer)) hash.AppendData(buffer, 0, read);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static IEnumerable<string> Tensors(string output)
    {
        IEnumerable<string> files = Directory.EnumerateFiles(output, "*.safetensors");
        string adapter = Path.Combine(output, CheckpointOpener.AdapterFolder);
        return Directory.Exists(adapter) ? files.Concat(Directory.EnumerateFiles(adapter, "*.safetensors")) : files;
    }
}
