/* Runs the controller's image in simavr, with the world around it: the host's end of the serial line, the light on the
 * sensor, and instruments on the LED and servo pins.
 *
 *   simulator IMAGE.elf              lock-step: time passes only in `run`, so that the machine's load changes nothing
 *   simulator IMAGE.elf --pty LINK   real time, the serial line is a pseudo-terminal that LINK points to
 *
 * One command a line on standard input, one line of answer:
 *   send HEX      bytes for the controller, at the line's pace            ok
 *   run US        let time pass (lock-step)                               the bytes it sent meanwhile, in hex, or -
 *   light MV      voltage at the sensor's pin; the supply has 3300        ok
 *   clock PCT     the host's clock runs this much faster                  ok
 *   hang          the program gets stuck                                  ok
 *   reset         the RESET pin is pulled                                 ok
 *   unplug        the host's adapter goes away (--pty)                    ok
 *   plug          and comes back: a new pseudo-terminal, the same link    ok
 *   babble HEX    bytes that reach the host as if the controller had sent them      ok
 *   mark          start measuring anew                                    ok
 *   state         what was measured since then                            JSON
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <simavr/avr_adc.h>
#include <simavr/avr_ioport.h>
#include <simavr/avr_timer.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

enum { DDRA = 0x3a, PORTA = 0x3b, TCCR1A = 0x4f, TCCR0A = 0x50, MCUSR = 0x54, SPL = 0x5d, SPH = 0x5e };
enum { TX_PIN = 1, RX_PIN = 2, SERVO_PIN = 5, LED_PIN = 7, EXTRF = 2 };
enum { RAM_FIRST = 0x60, RAM_LAST = 0x25f, FLASH_LAST_WORD = 0x1ffe };
#define CYCLES_PER_US 8.0

static avr_t *avr;

/* --- resets: simavr forgets the world at each */

static void (*core_reset)(avr_t *);
static int resets, was_reset;

static void on_reset(avr_t *a)
{
	core_reset(a);
	resets++;
	was_reset = 1;
}

/* --- a pin that a timer may own. Any write to PORTA raises all of its pins' signals anew, so a timer's output is taken from the
 * timer's compare signal and not from the port's. */

struct output {
	int pin, tccr, compare, level;
	uint64_t rise, marked, high; /* cycles; `high` counts finished pulses since `marked` */
	unsigned pulses;
	double us_min, us_max, period_min, period_max;
};
static struct output led = { .pin = LED_PIN, .tccr = TCCR0A }, servo = { .pin = SERVO_PIN, .tccr = TCCR1A };

static void on_compare(avr_irq_t *irq, uint32_t value, void *output)
{
	(void)irq;
	((struct output *)output)->compare = value & 1;
}

static void widen(double *min, double *max, double value)
{
	if (value < *min) *min = value;
	if (value > *max) *max = value;
}

static void measure(struct output *o)
{
	int timer_owns = avr->data[o->tccr] & 0x30;
	if (!timer_owns) o->compare = 0;
	int level = timer_owns ? o->compare : avr->data[PORTA] >> o->pin & 1;
	level &= avr->data[DDRA] >> o->pin;
	if (level == o->level) return;
	o->level = level;
	if (level) {
		if (o->pulses) widen(&o->period_min, &o->period_max, (avr->cycle - o->rise) / CYCLES_PER_US);
		o->rise = avr->cycle;
	} else {
		o->high += avr->cycle - (o->rise > o->marked ? o->rise : o->marked);
		o->pulses++;
		widen(&o->us_min, &o->us_max, (avr->cycle - o->rise) / CYCLES_PER_US);
	}
}

static void mark(struct output *o)
{
	o->marked = avr->cycle;
	o->high = 0;
	o->pulses = 0;
	o->us_min = o->period_min = 1e9;
	o->us_max = o->period_max = 0;
}

static double duty(const struct output *o)
{
	uint64_t high = o->high;
	if (o->level) high += avr->cycle - (o->rise > o->marked ? o->rise : o->marked);
	return avr->cycle > o->marked ? (double)high / (avr->cycle - o->marked) : 0;
}

/* --- the host's end of the line */

static double bit_cycles;

static void set_clock(double percent) { bit_cycles = CYCLES_PER_US * 1e6 / (19200.0 * (1 + percent / 100)); }

/* Towards the controller. Without a declared external pull simavr takes the pin's own pull-up at every write to PORTA, and
 * each bit that the controller sends would look like an edge on its input. */
static unsigned char to_chip[1 << 16];
static unsigned to_put, to_taken, to_word;
static int to_bit = -1, to_level = 1;
static double to_next;
static avr_irq_t *rx_pin;

static void drive_rx(int level)
{
	avr_ioport_external_t pull = { .name = 'A', .mask = 1 << RX_PIN, .value = level << RX_PIN };
	to_level = level;
	avr_ioctl(avr, AVR_IOCTL_IOPORT_SET_EXTERNAL('A'), &pull);
	avr_raise_irq(rx_pin, level);
}

static void queue(unsigned char byte) { to_chip[to_put++ % sizeof to_chip] = byte; }

static void host_sends(void)
{
	if (to_bit < 0) {
		if (to_put == to_taken) return;
		to_word = to_chip[to_taken++ % sizeof to_chip] << 1 | 0x200;
		to_bit = 0;
		to_next = avr->cycle;
	}
	if (avr->cycle < to_next) return;
	if (to_bit == 10) {
		to_bit = -1;
		return;
	}
	int level = to_word >> to_bit++ & 1;
	to_next += bit_cycles;
	if (level != to_level) drive_rx(level);
}

/* From the controller. */
static unsigned char from_chip[1 << 16];
static unsigned from_count, from_word, framing_errors;
static int from_bit = -1, from_level;
static double from_start, from_next, worst_edge_us;

static void host_receives(void)
{
	int level = avr->data[DDRA] >> TX_PIN & 1 ? avr->data[PORTA] >> TX_PIN & 1 : 1;
	if (from_bit >= 0 && level != from_level) {
		double bits = (avr->cycle - from_start) / bit_cycles, off = bits - (int)(bits + 0.5);
		if (off < 0) off = -off;
		if (off * bit_cycles / CYCLES_PER_US > worst_edge_us) worst_edge_us = off * bit_cycles / CYCLES_PER_US;
	}
	if (from_bit < 0 && from_level && !level) {
		from_bit = 0;
		from_word = 0;
		from_start = avr->cycle;
		from_next = from_start + bit_cycles / 2;
	}
	from_level = level;
	if (from_bit < 0 || avr->cycle < from_next) return;
	from_word |= level << from_bit++;
	from_next += bit_cycles;
	if (from_bit < 10) return;
	from_bit = -1;
	if ((from_word & 1) || !(from_word & 0x200)) framing_errors++;
	else if (from_count < sizeof from_chip) from_chip[from_count++] = from_word >> 1;
}

/* --- the run */

static unsigned light_mv, lowest_sp = RAM_LAST;
static avr_irq_t *sensor;

static void run_until(uint64_t end)
{
	while (avr->cycle < end) {
		int state = avr_run(avr);
		if (state == cpu_Done || state == cpu_Crashed) {
			fprintf(stderr, "simulator: the processor stopped at %04x\n", avr->pc);
			exit(2);
		}
		if (was_reset) {
			was_reset = 0;
			drive_rx(to_level);
			avr_raise_irq(sensor, light_mv);
		}
		host_sends();
		host_receives();
		measure(&led);
		measure(&servo);
		unsigned sp = avr->data[SPL] | avr->data[SPH] << 8;
		if (sp >= RAM_FIRST && sp < lowest_sp) lowest_sp = sp;
	}
}

/* --- the pseudo-terminal */

static int master = -1;

static void plug(const char *link)
{
	int slave;
	char name[128], fresh[512];
	struct termios t;
	if (openpty(&master, &slave, name, NULL, NULL)) { perror("openpty"); exit(2); }
	tcgetattr(slave, &t);
	cfmakeraw(&t);
	tcsetattr(slave, TCSANOW, &t);
	close(slave);
	fcntl(master, F_SETFL, O_NONBLOCK);
	snprintf(fresh, sizeof fresh, "%s.new", link);
	unlink(fresh);
	if (symlink(name, fresh) || rename(fresh, link)) { perror(link); exit(2); }
}

static void unplug(const char *link)
{
	unlink(link);
	if (master >= 0) close(master);
	master = -1;
}

static void exchange(void)
{
	unsigned char bytes[512];
	ssize_t n = master < 0 ? 0 : read(master, bytes, sizeof bytes); /* fails while nobody has it open */
	for (ssize_t i = 0; i < n; i++) queue(bytes[i]);
	if (from_count && master >= 0) {
		ssize_t written = write(master, from_chip, from_count);
		(void)written; /* nobody reads, as with a real adapter */
	}
	from_count = 0;
}

/* --- commands */

static void print_state(void)
{
	printf("{\"us\": %.0f, \"duty\": %.4f, \"led_periods\": %u, \"led_period_us\": %.1f, \"pulses\": %u, \"pulse_min_us\": %.2f, "
	       "\"pulse_max_us\": %.2f, \"frame_min_us\": %.2f, \"frame_max_us\": %.2f, \"resets\": %d, \"framing_errors\": %u, "
	       "\"worst_edge_us\": %.2f, \"waiting\": %u, \"stack\": %u}\n",
	       avr->cycle / CYCLES_PER_US, duty(&led), led.pulses, led.period_max, servo.pulses, servo.us_min, servo.us_max,
	       servo.period_min, servo.period_max, resets, framing_errors, worst_edge_us, to_put - to_taken, RAM_LAST - lowest_sp);
}

static void obey(const char *line, const char *link)
{
	const char *argument = strchr(line, ' ') ? strchr(line, ' ') + 1 : "";
	if (!strncmp(line, "send ", 5)) {
		unsigned byte;
		for (; sscanf(argument, "%2x", &byte) == 1; argument += 2) queue(byte);
	} else if (!strncmp(line, "babble ", 7)) {
		unsigned byte;
		for (; sscanf(argument, "%2x", &byte) == 1 && from_count < sizeof from_chip; argument += 2) from_chip[from_count++] = byte;
	} else if (!strncmp(line, "run ", 4) && !link) {
		run_until(avr->cycle + (uint64_t)(atof(argument) * CYCLES_PER_US));
		for (unsigned i = 0; i < from_count; i++) printf("%02x", from_chip[i]);
		puts(from_count ? "" : "-");
		from_count = 0;
		return;
	} else if (!strncmp(line, "light ", 6)) {
		light_mv = atoi(argument);
		avr_raise_irq(sensor, light_mv);
	} else if (!strncmp(line, "clock ", 6)) {
		set_clock(atof(argument));
	} else if (!strcmp(line, "hang")) { /* 'rjmp .-2' in the last word of flash, which the image does not reach */
		avr->flash[FLASH_LAST_WORD] = 0xff;
		avr->flash[FLASH_LAST_WORD + 1] = 0xcf;
		avr->pc = FLASH_LAST_WORD;
	} else if (!strcmp(line, "reset")) {
		avr_reset(avr);
		avr->data[MCUSR] = EXTRF;
	} else if (!strcmp(line, "unplug") && link) {
		unplug(link);
	} else if (!strcmp(line, "plug") && link) {
		plug(link);
	} else if (!strcmp(line, "mark")) {
		mark(&led);
		mark(&servo);
		worst_edge_us = 0;
	} else if (!strcmp(line, "state")) {
		return print_state();
	} else {
		fprintf(stderr, "simulator: what is '%s'?\n", line);
		exit(2);
	}
	puts("ok");
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void obey_input(const char *link, int wait_ms)
{
	static char input[1 << 17];
	static size_t length;
	struct pollfd p = { 0, POLLIN, 0 };
	if (poll(&p, 1, wait_ms) <= 0) return;
	ssize_t n = read(0, input + length, sizeof input - 1 - length);
	if (n <= 0) {
		if (link) unplug(link);
		exit(0);
	}
	length += n;
	input[length] = 0;
	for (char *end; (end = strchr(input, '\n'));) {
		*end = 0;
		obey(input, link);
		length -= end + 1 - input;
		memmove(input, end + 1, length + 1);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	elf_firmware_t image = { .frequency = 8000000, .vcc = 3300, .avcc = 3300, .aref = 3300 };
	const char *link = argc == 4 && !strcmp(argv[2], "--pty") ? argv[3] : NULL;
	if ((argc != 2 && !link) || elf_read_firmware(argv[1], &image)) {
		fprintf(stderr, "usage: simulator IMAGE.elf [--pty LINK]\n");
		return 2;
	}
	strcpy(image.mmcu, "attiny84");
	image.frequency = 8000000;
	if (!(avr = avr_make_mcu_by_name(image.mmcu))) return 2;
	avr_init(avr);
	avr->log = LOG_ERROR;
	core_reset = avr->reset;
	avr->reset = on_reset;
	avr_load_firmware(avr, &image);
	rx_pin = avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('A'), RX_PIN);
	sensor = avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC3);
	avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_TIMER_GETIRQ('0'), TIMER_IRQ_OUT_COMP + 1), on_compare, &led);
	avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_TIMER_GETIRQ('1'), TIMER_IRQ_OUT_COMP + 1), on_compare, &servo);
	set_clock(0);
	mark(&led);
	mark(&servo);
	avr_reset(avr);
	avr->data[MCUSR] = 1; /* PORF: the supply came up */
	resets = 0;

	if (!link) for (;;) obey_input(NULL, -1);

	plug(link);
	puts("ok");
	fflush(stdout);
	double began = now(), skipped = 0;
	for (;;) {
		run_until(avr->cycle + 8000);
		exchange();
		obey_input(link, 0);
		double ahead = avr->cycle / 8e6 + skipped - (now() - began);
		if (ahead > 0) usleep(ahead * 1e6);
		else if (ahead < -0.2) skipped -= ahead; /* what was missed is not made up for in a rush */
	}
}
