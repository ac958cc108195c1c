using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.TwoLevel;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>Assembles the output folder from the finished blocks and the source, one tensor in memory at a time. config.json comes last.</summary>
/// <param name="model">The source.</param>
/// <param name="recipe">What was done.</param>
/// <param name="folder">The run.</param>
/// <param name="store">Reads the finished blocks.</param>
public sealed class OutputWriter(CausalModel model, Recipe recipe, RunFolder folder, CompressedBlockStore store)
{
    /// <summary>
    /// Writes a compressed-tensors checkpoint, or one of our own kind where there are two-level grids: the block files' tensors as they are, everything
    /// else in the type of the scales. Low-rank branches go to a folder within it, <see cref="CheckpointOpener.AdapterFolder"/>, in the form asked for.
    /// </summary>
    public void WriteCompressed(long shardSize, AdapterForm form, CancellationToken cancellation)
    {
        WriteAdapter(form);
        // Loaders cast scales to the model's type, so the two must be the same.
        SafetensorsType type = recipe.ScaleType.ToSafetensors();
        JsonObject config = ModelConfigFile.For(model.Checkpoint, type);
        config["quantization_config"] = QuantizationConfig();
        Write(type, shardSize, config, (file, _) => [.. file.Names.Where(IsBase).Select(name => PendingTensor.Copy(file, name))], cancellation);
    }

    /// <summary>
    /// Writes the dequantized weights as an ordinary checkpoint in fp16, whatever the type of the scales: the product of a code and a scale has more
    /// digits than bf16 keeps.
    /// </summary>
    public void WriteDense(long shardSize, CancellationToken cancellation)
    {
        const SafetensorsType type = SafetensorsType.F16;
        Write(type, shardSize, ModelConfigFile.For(model.Checkpoint, type), (file, index) => [.. model.LinearsOf(index).Select(linear =>
        {
            string name = $"{model.BlockName(index)}.{linear.Name}";
            return new PendingTensor($"{name}.weight", type, [linear.OutFeatures, linear.InFeatures], sink =>
            {
                QuantizedWeight weight = store.ReadOne(file, model.BlockName(index), linear.Name);
                var values = new float[weight.Codes.Length];
                weight.Reconstruct(values);
                sink.WriteSingles(values);
            });
        })], cancellation);
    }

    private JsonObject QuantizationConfig()
    {
        var uniform = new List<QuantizedModule>();
        var twoLevel = new List<(string Module, string Grid)>();
        for (int i = 0; i < model.Config.Layers; i++)
        {
            foreach ((string linear, _, _) in model.LinearsOf(i))
            {
                string module = model.Checkpoint.WrittenName($"{model.BlockName(i)}.{linear}");
                WeightGrid grid = store.GridOf(model.BlockName(i), linear);
                if (grid is TwoLevelGrid native) twoLevel.Add((module, native.Name));
                else uniform.Add(new QuantizedModule(module, (UniformGrid)grid));
            }
        }
        string head = model.HeadName[..^".weight".Length];
        HashSet<string> known = [.. model.Modules.Select(module => module.Name), head];
        string[] ignore = [.. model.Checkpoint.OtherMatrices(known.Contains).Prepend(model.Checkpoint.WrittenName(head)).Distinct(StringComparer.Ordinal)];
        return twoLevel.Count == 0 ? CompressedTensorsWriter.BuildConfig(uniform, ignore) : TwoLevelConfig.Build(twoLevel, uniform, ignore);
    }

    private void WriteAdapter(AdapterForm form)
    {
        var files = new List<SafetensorsFile>();
        try
        {
            var modules = new List<AdapterModule>();
            for (int i = 0; i < model.Config.Layers; i++)
            {
                SafetensorsFile file = SafetensorsFile.Open(folder.ResultFile(i));
                files.Add(file);
                foreach ((string linear, int outFeatures, int inFeatures) in model.LinearsOf(i))
                {
                    string name = $"{model.BlockName(i)}.{linear}";
                    modules.Add(new AdapterModule(
                        model.Checkpoint.WrittenName(name), outFeatures, inFeatures, CompressedBlockStore.RankOf(file, name),
                        () => CompressedBlockStore.Factor(file, name + CompressedBlockStore.FactorA),
                        () => CompressedBlockStore.Factor(file, name + CompressedBlockStore.FactorB)));
                }
            }
            AdapterOutput.Write(Path.Combine(folder.Output, CheckpointOpener.AdapterFolder), modules, form, null, "..", recipe.Correction?.FactorBits ?? 16);
        }
        finally
        {
            foreach (SafetensorsFile file in files) file.Dispose();
        }
    }

    private static bool IsBase(string tensor) =>
        !tensor.EndsWith(CompressedBlockStore.FactorA, StringComparison.Ordinal) && !tensor.EndsWith(CompressedBlockStore.FactorB, StringComparison.Ordinal);

    private void Write(
        SafetensorsType type, long shardSize, JsonObject config, Func<SafetensorsFile, int, IReadOnlyList<PendingTensor>> blockTensors,
        CancellationToken cancellation)
    {
        ICheckpoint source = model.Checkpoint;
        var quantized = model.Modules.Select(module => $"{module.Name}.weight").ToHashSet(StringComparer.Ordinal);
        var files = new List<SafetensorsFile>();
        try
        {
            var tensors = new List<PendingTensor>();
            for (int i = 0; i < model.Config.Layers; i++)
            {
                SafetensorsFile file = SafetensorsFile.Open(folder.ResultFile(i));
                files.Add(file);
                tensors.AddRange(blockTensors(file, i));
            }
            tensors.AddRange(source.TensorNames.Where(name => !quantized.Contains(name)).Select(name => source.Store(name, type)));
            tensors = [.. tensors.Select(source.Named), .. source.Carried];
            SafetensorsFolderWriter.Write(folder.Output, PendingTensor.ReferenceOrder(tensors), shardSize, overwrite: true, cancellationToken: cancellation);
        }
        finally
        {
            foreach (SafetensorsFile file in files) file.Dispose();
        }
        CopySideFiles();
        AtomicFile.WriteAllText(Path.Combine(folder.Output, "recipe.json"), JsonSerializer.Serialize(recipe, PipelineJson.Default.Recipe));
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
