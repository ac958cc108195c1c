using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Activations;

/// <summary>Quantizers in blocks of several families: every input and cache is reached, shared ones once, and generation remembers what whole windows see.</summary>
public sealed class QuantizedBlockTests
{
    private const int Batch = 2, Length = 9, Rows = Batch * Length;

    public static TheoryData<string, int, int> Families => new()
    {
        // Family, inputs of a block that are rounded apart, caches of the model.
        { "models/qwen3", 4, 4 },
        { "models/phi3", 4, 4 },
        { "models/gpt2", 4, 4 },
        { "models/falcon_7b", 3, 4 },
        { "models/opt_350m", 4, 4 },
        { "models/bloom", 4, 4 },
        { "models2/gemma4", 6, 6 },
        { "models2/glm4", 4, 4 },
    };

    /// <summary>Slots that share an input share the variable that its quantizer gives, which is computed once; the stages of the block stay as they were.</summary>
    [Theory]
    [MemberData(nameof(Families))]
    public void SharedInputsAreRoundedOnce(string family, int inputs, int caches)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using CausalModel model = Open(device, family);
        var states = new Stream(model, Batch, Length);
        int sites = 0;
        for (int i = 0; i < model.Config.Layers; i++)
        {
            using IDecoderBlock block = model.LoadBlock(i);
            IReadOnlyList<InputStage> before = InputStages.Find(block, () => states.Look(block));
            var quantizer = new Counting(new ActivationGrid(8, false, ActivationScope.Token));
            foreach (LinearSlot slot in block.Slots) slot.InputQuantizer = quantizer;
            Counting[] kept = [.. block.Caches.Select(site => new Counting(new ActivationGrid(8, false, ActivationScope.TokenHead), site.Heads))];
            for (int site = 0; site < kept.Length; site++) block.Caches[site].Quantizer = kept[site];
            sites += kept.Length;
            IReadOnlyList<InputStage> after = InputStages.Find(block, () => states.Look(block));
            Assert.Equal(Describe(before), Describe(after));
            quantizer.Made.Clear();
            foreach (Counting cache in kept) cache.Made.Clear();
            var seen = new List<Tensor>();
            foreach (LinearSlot slot in block.Slots) slot.InputObserver = seen.Add;
            states.Advance(block);
            foreach (LinearSlot slot in block.Slots) slot.InputObserver = null;
            Assert.Equal(before.Sum(stage => stage.Sites.Count), quantizer.Made.Count);
            if (i == 0) Assert.Equal(inputs, quantizer.Made.Count);
            Assert.All(seen, input => Assert.Contains(input, quantizer.Made));
            Assert.Equal(block.Slots.Count, seen.Count);
            Assert.All(kept, cache => Assert.Single(cache.Made));
            foreach ((CacheSite site, Counting cache) in block.Caches.Zip(kept)) Assert.Equal(site.Heads * site.HeadSize, cache.Made[0].Columns);
        }
        Assert.Equal(caches, sites);
        states.Dispose();
    }

    /// <summary>Experts see their inputs rounded, each its own rows.</summary>
    [Theory]
    [InlineData("models/mixtral")]
    [InlineData("models2/gpt_oss")]
    [InlineData("models2/gemma4_moe")]
    public void ExpertsAreReached(string family)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using CausalModel model = Open(device, family);
        using var states = new Stream(model, Batch, Length);
        using IDecoderBlock block = model.LoadBlock(0);
        var quantizers = new Dictionary<LinearSlot, Counting>();
        foreach (SlotGroup group in block.DeclaredInputs)
        {
            var own = new Counting(new ActivationGrid(8, true, ActivationScope.Token));
            foreach (int slot in group.Slots) quantizers[block.Slots[slot]] = own;
        }
        Assert.NotEmpty(quantizers);
        foreach ((LinearSlot slot, Counting quantizer) in quantizers) slot.InputQuantizer = quantizer;
        float[] rounded = states.Look(block);
        long rows = 0;
        foreach (SlotGroup group in block.DeclaredInputs.Where(group => group.Slots.Count > 1))
        {
            Counting own = quantizers[block.Slots[group.Slots[0]]];
            Assert.InRange(own.Made.Count, 0, 1);
            rows += own.Made.Sum(tensor => tensor.Rows);
        }
        // Every token went to as many experts as the router chooses.
        Assert.Equal(block.Routers.Sum(router => router.Last!.Length), rows);
        foreach (LinearSlot slot in quantizers.Keys) slot.InputQuantizer = null;
        Assert.NotEqual(states.Look(block), rounded);
    }

    /// <summary>Blocks that read keys and values of an earlier one have no caches of their own and see them rounded, once.</summary>
    [Fact]
    public void PublishedKeysAndValuesAreRoundedWhereTheyAreMade()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using CausalModel model = Open(device, "models2/gemma4");
        using var states = new Stream(model, Batch, Length);
        Tensor[] made = [];
        int readers = 0;
        for (int i = 0; i < model.Config.Layers; i++)
        {
            using IDecoderBlock block = model.LoadBlock(i);
            if (block.Caches.Count == 0)
            {
                readers++;
                states.Advance(block);
                continue;
            }
            Counting[] kept = [.. block.Caches.Select(_ => new Counting(new ActivationGrid(4, false, ActivationScope.Token)))];
            for (int site = 0; site < kept.Length; site++) block.Caches[site].Quantizer = kept[site];
            float[][] values = [];
            for (int site = 0; site < kept.Length; site++) kept[site].Seen = tensor => values = [.. values, tensor.ToArray()];
            states.Advance(block);
            Assert.Equal(2, values.Length);
            if (!states.Published.HasOwn(i)) continue;
            (Variable keys, Variable held) = states.Published.Get(i);
            Assert.Contains(values, own => own.SequenceEqual(keys.Value.ToArray()));
            Assert.Contains(values, own => own.SequenceEqual(held.Value.ToArray()));
            made = [keys.Value];
        }
        Assert.NotEmpty(made);
        Assert.NotEqual(0, readers);
    }

    /// <summary>With the scalar kernels, whose rows do not depend on each other, generation gives the bits of whole windows: lanes hold what the windows see.</summary>
    [Theory]
    [InlineData("models/qwen3", ActivationScope.TokenHead, true)]
    [InlineData("models/qwen3", ActivationScope.Token, false)]
    [InlineData("models/phi3", ActivationScope.Head, true)]
    [InlineData("models/mistral", ActivationScope.Tensor, false)]
    [InlineData("models2/gemma4", ActivationScope.TokenHead, false)]
    public void TokenByTokenIsTheSameAsWholeWindows(string family, ActivationScope scope, bool before)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Kernels = CpuKernelKind.Scalar, Threads = 1 });
        using CausalModel model = Open(device, family);
        int[] ids = Ids(model, 1, Length);
        IDecoderBlock[] blocks = [.. Enumerable.Range(0, model.Config.Layers).Select(model.LoadBlock)];
        using InputEmbedding embedding = model.LoadEmbedding();
        float[] plain = Windows();
        var owned = new List<GridQuantizer>();
        foreach (IDecoderBlock block in blocks)
        {
            foreach (LinearSlot slot in block.Slots) slot.InputQuantizer = GridQuantizer.Dynamic(new ActivationGrid(8, false, ActivationScope.Token));
            foreach (CacheSite site in block.Caches)
            {
                var grid = new ActivationGrid(4, false, scope);
                float[] steps = [.. Enumerable.Range(0, grid.IsPerHead ? site.Heads : 1).Select(i => 0.2f + (0.05f * i))];
                GridQuantizer quantizer = grid.IsDynamic ? GridQuantizer.Dynamic(grid, site.Heads) : GridQuantizer.Static(device, grid, steps, [.. steps.Select(_ => 1f)]);
                owned.Add(quantizer);
                site.Quantizer = quantizer;
                site.BeforeRotation = before && site.Kind == CacheKind.Keys;
            }
        }
        float[] whole = Windows();
        Assert.NotEqual(plain, whole);
        Assert.Equal(whole, Lanes());
        foreach (IDecoderBlock block in blocks) block.Dispose();
        foreach (GridQuantizer quantizer in owned) quantizer.Dispose();

        float[] Windows()
        {
            using var tape = new Tape(device, recording: false);
            Tensor x = tape.Rent(ids.Length, model.Config.HiddenSize);
            using var inputs = new PassInputs(embedding, blocks.Length, ids, x, [.. Enumerable.Range(0, ids.Length)]);
            ForwardPass pass = ForwardPass.OfWindows(new SequenceShape(1, ids.Length));
            var state = new Variable(x);
            for (int i = 0; i < blocks.Length; i++) state = blocks[i].Forward(tape, state, inputs.For(pass, i));
            return state.Value.ToArray();
        }

        float[] Lanes()
        {
            IMixerState[] lanes = [.. blocks.Select(block => block.CreateState(device, ids.Length))];
            var all = new List<float>();
            for (int position = 0; position < ids.Length;)
            {
                int count = position == 0 ? 4 : 1;
                using var tape = new Tape(device, recording: false);
                Tensor x = tape.Rent(count, model.Config.HiddenSize);
                using var inputs = new PassInputs(embedding, blocks.Length, ids.AsSpan(position, count), x, [.. Enumerable.Range(position, count)]);
                var state = new Variable(x);
                for (int i = 0; i < blocks.Length; i++)
                    state = blocks[i].Forward(tape, state, inputs.For(ForwardPass.OfLanes([new LaneWork(lanes[i], [new LaneRows(0, count, position)])]), i));
                all.AddRange(state.Value.ToArray());
                position += count;
            }
            foreach (IMixerState lane in lanes) lane.Dispose();
            return [.. all];
        }
    }

    private static CausalModel Open(Device device, string family) => new(HuggingFaceCheckpoint.Open(TestData.Path(["golden", .. family.Split('/')])), device);

    private static int[] Ids(CausalModel model, int batch, int length) => [.. Enumerable.Range(0, batch * length).Select(i => (i * 37) % Math.Min(100, model.Config.VocabularySize))];

    private static string[] Describe(IReadOnlyList<InputStage> stages) =>
        [.. stages.Select(stage => string.Join(" | ", stage.Sites.Select(site => string.Join(',', site.Slots))))];

    /// <summary>A quantizer that notes what it made.</summary>
    private sealed class Counting(ActivationGrid grid, int heads = 1) : IActivationQuantizer
    {
        private readonly GridQuantizer _inner = GridQuantizer.Dynamic(grid, heads);

        public List<Tensor> Made { get; } = [];

        public Action<Tensor>? Seen { get; set; }

        public Variable Apply(Tape tape, Variable x) => tape.Once(this, x, () =>
        {
            Variable y = _inner.Apply(tape, x);
            Made.Add(y.Value);
            Seen?.Invoke(y.Value);
            return y;
        });
    }

    /// <summary>Windows on their way through a model, block by block.</summary>
    private sealed class Stream : IDisposable
    {
        private readonly CausalModel _model;
        private readonly InputEmbedding _embedding;
        private readonly PassInputs _inputs;
        private readonly Tensor _x;
        private readonly ForwardPass _pass;

        public Stream(CausalModel model, int batch, int length)
        {
            _model = model;
            _embedding = model.LoadEmbedding();
            int[] ids = Ids(model, batch, length);
            _x = model.Device.Empty(ids.Length, model.Config.HiddenSize);
            _inputs = new PassInputs(_embedding, model.Config.Layers, ids, _x, [.. Enumerable.Range(0, ids.Length).Select(row => row % length)]);
            _pass = ForwardPass.OfWindows(new SequenceShape(batch, length));
        }

        public PublishedValues Published => _inputs.Published;

        public float[] Look(IDecoderBlock block)
        {
            using var tape = new Tape(_model.Device, recording: false);
            return block.Forward(tape, new Variable(_x), _inputs.For(_pass, block.Index)).Value.ToArray();
        }

        public void Advance(IDecoderBlock block) => _x.CopyFrom(Look(block));

        public void Dispose()
        {
            _inputs.Dispose();
            _embedding.Dispose();
            _x.Dispose();
        }
    }
}
