using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.Kernels;
using LowRankQuant.Tests.Readers;

namespace LowRankQuant.Tests.Activations;

/// <summary>One block with quantizers at its four inputs and on its keys and values: loss, output and every gradient against an independent implementation in double precision.</summary>
public sealed class ReconstructionUnitTests
{
    private const int Tokens = 16;
    private static readonly string[] Sites = ["qkv", "qkv", "qkv", "o", "gateup", "gateup", "down"];
    private static readonly string[] Keys = ["q", "k", "v", "o", "gate", "up", "down"];

    [Theory]
    [InlineData("w8a8.before-token")]
    [InlineData("w8a8.before-head")]
    [InlineData("w8a8.after-token")]
    [InlineData("w8a8.after-head")]
    [InlineData("w4a8.before-token")]
    [InlineData("w4a8.before-head")]
    [InlineData("w4a8.after-token")]
    [InlineData("w4a8.after-head")]
    public void LossOutputAndGradients(string key)
    {
        var data = new MiniSafetensors(TestData.Path("golden", "schemes", "recon-unit.safetensors"));
        int[] ids = [.. new MiniSafetensors(TestData.Path("golden", "lrq", "model-tinystories-656k.safetensors")).Floats("calib_ids").Select(id => (int)id)];
        int window = (int)data.Floats($"{key}.window")[0];
        bool isStatic = key.StartsWith("w8a8", StringComparison.Ordinal);
        double tolerance = isStatic ? 1e-4 : 5e-4;
        float[]? bytes = null;
        foreach (int threads in new[] { 1, 2 })
        {
            using var device = new CpuDevice(new CpuDeviceOptions { Threads = threads });
            using HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.Open(TestData.Path("models", "tinystories-656k"));
            using var tables = new RopeTables(device, checkpoint.Config.Rope);
            var parts = new BlockParts(new LoadedTensors(checkpoint, device, _ => tables), checkpoint.Architecture.BlockName(0), 0);
            var norms = new List<LearnedNorm>();
            using var block = new DecoderBlock(parts, Body(parts, checkpoint.Config, norms));
            int hidden = checkpoint.Config.HiddenSize;
            using Tensor x = Embedded(device, checkpoint, [.. ids.AsSpan(window * 128, Tokens)]), dx = device.Zeros(Tokens, hidden), target = device.Empty(Tokens, hidden);
            var shape = new SequenceShape(1, Tokens);
            using (var whole = new Tape(device, recording: false)) device.Kernels.Copy(block.Forward(whole, new Variable(x), shape).Value, target);

            Tensor[] gradients = [.. block.Slots.Select(slot => device.Zeros(slot.OutFeatures, slot.InFeatures))];
            for (int i = 0; i < gradients.Length; i++)
            {
                LinearSlot slot = block.Slots[i];
                slot.Exchange(new DenseWeight(device.From(slot.WeightValues(), slot.OutFeatures, slot.InFeatures), gradients[i])).Dispose();
            }
            Dictionary<string, Tensor> slopes = Install(device, block, data, key, isStatic);
            using var tape = new Tape(device, recording: true);
            Variable output = block.Forward(tape, new Variable(x, dx), shape);
            float[] values = output.Value.ToArray();
            double loss = tape.SquaredErrorAndBackward(output, target, null, 1f / hidden);

            Assert.Equal(data.Doubles($"{key}.loss")[0], loss, 2e-5 * data.Doubles($"{key}.loss")[0]);
            KernelTwins.Near(data.Floats($"{key}.output"), values, 1e-6, key + " output");
            KernelTwins.Near(data.Floats($"{key}.dx"), dx.ToArray(), tolerance, key + " dx");
            for (int i = 0; i < norms.Count; i++) KernelTwins.Near(data.Floats($"{key}.dnorm{i + 1}"), norms[i].Gradient.ToArray(), tolerance, $"{key} dnorm{i + 1}");
            for (int i = 0; i < Keys.Length; i++)
            {
                float[] expected = data.Floats($"{key}.d{Keys[i]}");
                KernelTwins.Near(expected, gradients[i].ToArray()[..expected.Length], tolerance, $"{key} d{Keys[i]}");
            }
            Assert.Equal(isStatic ? 4 : 0, slopes.Count);
            foreach ((string site, Tensor slope) in slopes)
            {
                double expected = data.Doubles($"{key}.dlog_s.{site}")[0];
                Assert.True(Math.Abs(slope.ToArray()[0] - expected) <= tolerance * Math.Abs(expected), $"{key} dlog_s.{site}: {slope.ToArray()[0]} for {expected}");
            }
            float[] all = [.. values, .. dx.ToArray(), .. gradients.SelectMany(gradient => gradient.ToArray()), .. slopes.Values.SelectMany(slope => slope.ToArray())];
            bytes ??= all;
            Assert.Equal(bytes, all);
            foreach (Tensor gradient in gradients) gradient.Dispose();
        }
    }

    private static Dictionary<string, Tensor> Install(Device device, DecoderBlock block, MiniSafetensors data, string key, bool isStatic)
    {
        var slopes = new Dictionary<string, Tensor>();
        var quantizers = new Dictionary<string, IActivationQuantizer>();
        for (int i = 0; i < Sites.Length; i++)
        {
            string site = Sites[i];
            if (!quantizers.TryGetValue(site, out IActivationQuantizer? quantizer))
            {
                if (isStatic)
                {
                    slopes[site] = device.Zeros(1);
                    var step = new Variable(device.From([MathF.Log(data.Floats($"{key}.static.{site}.s")[0])], 1), slopes[site]);
                    var zero = new Variable(device.From(data.Floats($"{key}.static.{site}.zero"), 1));
                    quantizer = GridQuantizer.Learned(new ActivationGrid(8, false, ActivationScope.Tensor), new StaticSteps(step, zero, IsLog: true));
                }
                else
                {
                    quantizer = GridQuantizer.Dynamic(new ActivationGrid(8, false, ActivationScope.Token));
                }
                quantizers[site] = quantizer;
            }
            block.Slots[i].InputQuantizer = quantizer;
        }
        string cache = key.Split('.')[1];
        foreach (CacheSite site in block.Caches)
        {
            var grid = new ActivationGrid(8, false, cache.EndsWith("head", StringComparison.Ordinal) ? ActivationScope.TokenHead : ActivationScope.Token);
            site.Quantizer = GridQuantizer.Dynamic(grid, site.Heads);
            site.BeforeRotation = site.Kind == CacheKind.Keys && cache.StartsWith("before", StringComparison.Ordinal);
        }
        return slopes;
    }

    private static SequentialBody Body(BlockParts parts, DecoderConfig config, List<LearnedNorm> norms)
    {
        LearnedNorm Norm(string name)
        {
            var norm = new LearnedNorm(parts.Tensor($"{name}.weight", config.HiddenSize), config.NormEpsilon);
            norms.Add(norm);
            return norm;
        }

        return new SequentialBody
        {
            MixerNorm = Norm("input_layernorm"),
            Mixer = Standard.Attention(parts, config, default),
            MlpNorm = Norm("post_attention_layernorm"),
            Mlp = Standard.GatedMlp(parts, config),
        };
    }

    private static Tensor Embedded(Device device, HuggingFaceCheckpoint checkpoint, int[] ids)
    {
        int hidden = checkpoint.Config.HiddenSize;
        using Tensor table = checkpoint.Load(device, checkpoint.Architecture.EmbeddingName, checkpoint.Config.VocabularySize, hidden);
        Tensor x = device.Empty(ids.Length, hidden);
        device.Kernels.EmbeddingForward(table, ids, x);
        return x;
    }

    private sealed class LearnedNorm(Tensor weight, float epsilon) : INorm
    {
        private readonly Variable _weight = new(weight, weight.Device.Zeros(weight.Shape));

        public Tensor Gradient => _weight.Gradient!;

        public Variable Apply(Tape tape, Variable x) => tape.RmsNorm(x, _weight, epsilon);

        public void Dispose() => _weight.Value.Dispose();
    }
}
