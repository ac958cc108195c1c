using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Tests.Families;

namespace LowRankQuant.Tests.Activations;

/// <summary>A stream that the last pass of ranges takes along: steps, errors and states are those of one that stays and goes on afterwards.</summary>
public sealed class LastPassTests : IDisposable
{
    private const int Samples = 10, HeldOut = 3, Length = 16;
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("models/qwen3", "minmax")]
    [InlineData("models/qwen3", "average")]
    [InlineData("models/qwen3", "search")]
    [InlineData("models/qwen3", "minmax", "auto:0.01")]
    [InlineData("models/mixtral", "minmax")]
    [InlineData("models2/gemma4_text", "average")]
    public void NothingElseComesOut(string name, string range, params string[] perToken)
    {
        string source = _folder.File("source");
        FamilyModels.Write(name, source);
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using var model = new CausalModel(CheckpointOpener.Open(source), device);
        Recipe recipe = RecipeResolver.Resolve(
            BuiltInMethods.Catalog,
            new RecipeRequest
            {
                Scheme = "w8a8",
                Method = "rtn",
                ActivationRange = range,
                PerToken = perToken,
                Cache = "8:head",
                Samples = Samples,
                HeldOut = HeldOut,
                SequenceLength = Length,
                HasCalibration = true,
            },
            model.Config, model.Layout, model.Checkpoint.NativeScaleType).Recipe;
        int[][] ids = [.. Enumerable.Range(0, Samples + HeldOut).Select(row => Enumerable.Range(0, Length).Select(i => ((row * 131) + (i * i * 7)) % FamilyModels.Vocabulary).ToArray())];
        using ActivationStream stays = Embed(), goes = Embed();
        var prepared = new PreparedModel(model, recipe, null);
        var seen = new List<int>();
        // Two blocks: the second may read what the first published.
        for (int index = 0; index < 2; index++)
        {
            using PreparedBlock before = prepared.Prepare(index, stays, Samples, TestContext.Current.CancellationToken);
            stays.Advance(before.Block, null, TestContext.Current.CancellationToken);
            using PreparedBlock along = prepared.Prepare(
                index, goes, Samples, TestContext.Current.CancellationToken, lastPass: (block, see) => goes.Advance(block, (window, output) =>
                {
                    seen.Add(window);
                    see(window, output);
                }, TestContext.Current.CancellationToken));
            Assert.Equal(Bytes(before), Bytes(along));
            Assert.NotEmpty(before.Quantizers!.Reports);
            Assert.Equal(before.Quantizers.Reports, along.Quantizers!.Reports);
            for (int window = 0; window < ids.Length; window++) Assert.Equal(States(stays, window), States(goes, window));
        }
        Assert.Equal([.. Enumerable.Range(0, ids.Length), .. Enumerable.Range(0, ids.Length)], seen);

        ActivationStream Embed() => ActivationStream.Embed(model, ids, new StreamOptions(new MemoryBudget(1 << 30), _folder.File("streams")));

        float[] States(ActivationStream stream, int window)
        {
            using Tensor x = device.Empty(Length, stream.Columns);
            stream.Read(window, x);
            return x.ToArray();
        }
    }

    public void Dispose() => _folder.Dispose();

    private byte[] Bytes(PreparedBlock prepared)
    {
        string file = _folder.File("tensors.safetensors");
        SafetensorsWriter.Write(file, [.. prepared.Quantizers!.Tensors()]);
        return File.ReadAllBytes(file);
    }
}
