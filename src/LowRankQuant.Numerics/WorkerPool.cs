namespace LowRankQuant.Numerics;

/// <summary>
/// A fixed set of threads that share out numbered chunks of work. The chunks and what each computes never depend on the number of threads,
/// so neither do results: a kernel cuts its work by shape alone, and every chunk writes memory of its own.
/// </summary>
public sealed class WorkerPool : IDisposable
{
    private readonly Thread[] _threads;
    private readonly Lock _gate = new();
    private readonly ManualResetEventSlim[] _start;
    private readonly CountdownEvent _finished = new(1);
    private Action<int>? _body;
    private int _chunks;
    private int _next;
    private int _busy;
    private Exception? _failure;
    private volatile bool _stop;

    /// <summary>Creates a pool of <paramref name="threads"/> threads, the calling thread included.</summary>
    public WorkerPool(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        Threads = threads;
        _threads = new Thread[threads - 1];
        _start = new ManualResetEventSlim[threads - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            int index = i;
            _start[i] = new ManualResetEventSlim(false, spinCount: 2000);
            _threads[i] = new Thread(() => Loop(_start[index])) { IsBackground = true, Name = $"lrq worker {i + 1}" };
            _threads[i].Start();
        }
    }

    /// <summary>Threads that work at the same time, the caller's included.</summary>
    public int Threads { get; }

    /// <summary>
    /// Runs <paramref name="body"/> for every chunk 0..<paramref name="chunks"/> - 1 and returns when all are done. Called from within a chunk, or
    /// while another thread uses the pool, it runs the chunks on the calling thread. The first exception of a chunk is thrown again here.
    /// </summary>
    public void Run(int chunks, Action<int> body)
    {
        if (chunks <= 1 || Threads == 1 || Interlocked.CompareExchange(ref _busy, 1, 0) != 0)
        {
            for (int i = 0; i < chunks; i++) body(i);
            return;
        }
        try
        {
            int helpers = Math.Min(_threads.Length, chunks - 1);
            _body = body;
            _chunks = chunks;
            _failure = null;
            Volatile.Write(ref _next, 0);
            _finished.Reset(helpers + 1);
            for (int i = 0; i < helpers; i++) _start[i].Set();
            Work();
            _finished.Signal();
            WaitForHelpers();
            _body = null;
            if (_failure is not null) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(_failure);
        }
        finally
        {
            Volatile.Write(ref _busy, 0);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stop = true;
        foreach (ManualResetEventSlim start in _start) start.Set();
        foreach (Thread thread in _threads) thread.Join();
        foreach (ManualResetEventSlim start in _start) start.Dispose();
        _finished.Dispose();
    }

    private void WaitForHelpers()
    {
        // Helpers end within microseconds of each other; going to sleep would cost more than the wait.
        var spinner = default(SpinWait);
        for (int i = 0; i < 1000 && !_finished.IsSet; i++) spinner.SpinOnce(sleep1Threshold: -1);
        if (!_finished.IsSet) _finished.Wait();
    }

    private void Loop(ManualResetEventSlim start)
    {
        while (true)
        {
            start.Wait();
            start.Reset();
            if (_stop) return;
            Work();
            _finished.Signal();
        }
    }

    private void Work()
    {
        Action<int> body = _body!;
        try
        {
            for (int i = Interlocked.Increment(ref _next) - 1; i < _chunks; i = Interlocked.Increment(ref _next) - 1) body(i);
        }
        catch (Exception failure) when (failure is not null)
        {
            lock (_gate) _failure ??= failure;
            Volatile.Write(ref _next, _chunks);
        }
    }
}
